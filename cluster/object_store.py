"""Object stores: how they are opened, and what their errors mean in one line.

Where a store is and who may use it is told by the environment or by fsspec's own configuration, never by a URL alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from cluster.errors import ClusterError, StorageError, StorageRefused

OPTIONS: dict[str, Any] = {"use_listings_cache": False}
"""Of every file system: other processes write there too, and a listing that is remembered hides what they wrote."""
S3_OPTIONS: dict[str, Any] = {**OPTIONS, "max_concurrency": 1}
"""One request to read an object, instead of one for its size and then another."""
PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""What has to be installed for a kind of store."""
_NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound")
_REFUSED = ("AccessDenied", "AllAccessDisabled", "403", "Forbidden")
_BAD_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthFailure")
_TROUBLED = ("InternalError", "ServiceUnavailable", "SlowDown", "RequestTimeout", "500", "502", "503", "504")
"""What a store answers that is not well, or has too much to do; its client has tried again and again by then."""
_ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301")
_UNREACHED = ("HTTPClientError", "FSTimeoutError", "ClientConnectionError")


def is_remote(url: str) -> bool:
    """Whether a URL is not a path on this machine."""
    return "://" in url and not url.startswith("file://")


def open_filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path there."""
    import fsspec

    options = S3_OPTIONS if protocol(url) in ("s3", "s3a") else OPTIONS
    return fsspec.core.url_to_fs(url, **options)


def protocol(url: str) -> str:
    """What stands before ``://``."""
    return url.partition("://")[0]


def check_stores(*urls: str) -> None:
    """See whether stores can be used, by listing what is at their URLs; a place with nothing in it is fine, and so is a path.

    Raises
    ------
    StorageRefused
        When one cannot: one line with the reason and what to do.
    """
    for url in filter(is_remote, urls):
        try:
            filesystem, path = open_filesystem(url)
            filesystem.ls(path, detail=False)
        except Exception as error:
            found = explain(error, url)
            if found is not None:
                raise StorageRefused(found) from error
            if not isinstance(error, FileNotFoundError):
                text = " ".join(str(error).split())[:300]
                raise StorageRefused(f"{url}: the store cannot be used ({type(error).__name__}: {text})") from error


@contextlib.contextmanager
def store_errors(url: str) -> Iterator[None]:
    """What a store answers while work goes on becomes one line, a `StorageError`."""
    try:
        yield
    except Exception as error:
        found = explain(error, url) if is_remote(url) and not isinstance(error, ClusterError) else None
        if found is None:
            raise
        raise StorageError(f"{found}; finished work is kept: run again when that is mended") from error


def explain(error: BaseException, url: str) -> str | None:
    """What the error of an object store means, in one line with what to do; None for any other error."""
    kind = protocol(url)
    for one in _chain(error):
        names = {base.__name__ for base in type(one).__mro__}
        package = PACKAGES.get(kind, "")
        if isinstance(one, ImportError) and package and package in str(one):
            what = "pip install 'gammasurvey[s3]'" if package == "s3fs" else f"pip install {package}"
            return f"{url}: needs {package}, which is not installed; {what}"
        if isinstance(one, ValueError) and str(one).startswith("Protocol not known"):
            return f"{url}: {kind}:// is no kind of store that is known; expected a path, or a URL such as s3://bucket/folder"
        code = _code(one)
        if code == "NoSuchBucket":
            bucket = url.partition("://")[2].partition("/")[0]
            return f"{url}: there is no bucket {bucket} at {_endpoint()}; make it first, or mend the URL"
        if code in _BAD_KEY:
            return f"{url}: the store does not take the key ({code}); mend AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        if code in _REFUSED:
            return f"{url}: the store does not allow it ({code}); ask its owner for access, or mend AWS_ACCESS_KEY_ID"
        if code in _TROUBLED:
            return f"{url}: the store at {_endpoint()} answers with an error of its own ({code}); try later"
        if code in _ELSEWHERE:
            return f"{url}: the bucket is in another region ({code}); mend AWS_DEFAULT_REGION or AWS_ENDPOINT_URL"
        if not names.isdisjoint(_NO_CREDENTIALS):
            return f"{url}: found no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
        if not names.isdisjoint(_UNREACHED):
            reason = type(one).__name__
            return (
                f"{url}: the store at {_endpoint()} cannot be reached ({reason}); mend AWS_ENDPOINT_URL, or try later"
            )
    return None


def is_precondition(error: BaseException) -> bool:
    """Whether a store says that what a put was to replace is no longer there, or is just being replaced."""
    codes = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
    return any(_code(one) in codes for one in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it came from."""
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending:
        one = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            pending.extend(one.exceptions)
        pending += [one.__context__, one.__cause__]


def _code(error: BaseException) -> str:
    """The code with which an S3 store answered, empty for any other error."""
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return ""
    return str(response.get("Error", {}).get("Code", ""))


def _endpoint() -> str:
    return (
        os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or "the endpoint that is configured"
    )
