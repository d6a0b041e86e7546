"""Who may listen: credentials between scheduler and workers, addresses of dashboards."""

from __future__ import annotations

import importlib.util
import os
import socket
import ssl

import psutil
from distributed.security import Security

from cluster.config import ClusterConfig
from cluster.errors import ConfigError

LOOPBACK = "127.0.0.1:0"
LAST_PORT = 65535
TLS_FILES = ("tls_ca", "tls_cert", "tls_key")


def security(config: ClusterConfig) -> Security | None:
    """Credentials that a configuration asks for: its files, or temporary ones; None without TLS.

    Raises
    ------
    ConfigError
        When temporary credentials cannot be made, or files are none.
    """
    if not config.tls:
        return None
    if config.tls_ca is None:
        if importlib.util.find_spec("cryptography") is None:
            raise ConfigError("cluster.tls needs cryptography, which is not installed: pip install 'gammasurvey[tls]'")
        return Security.temporary()
    for name in TLS_FILES:
        path = getattr(config, name)
        if not os.path.isfile(path):
            raise ConfigError(f"cluster.{name}: there is no file {path}; mend the path")
    for name in TLS_FILES:
        _check_pem(name, getattr(config, name))
    _check_certificates(config)
    roles = {f"tls_{role}_{part}": getattr(config, f"tls_{part}")
             for role in ("client", "scheduler", "worker") for part in ("cert", "key")}  # fmt: skip
    return Security(tls_ca_file=config.tls_ca, require_encryption=True, **roles)


def _check_pem(name: str, path: str) -> None:
    with open(path, "rb") as file:
        if b"-----BEGIN " not in file.read():
            raise ConfigError(
                f"cluster.{name}: {path} is no PEM file, expected one with a line '-----BEGIN ...'; mend the path"
            )


def _check_certificates(config: ClusterConfig) -> None:
    """Load the files as Dask will, which would name none of them."""
    assert config.tls_ca is not None
    assert config.tls_cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(config.tls_ca)
    except ssl.SSLError as error:
        raise ConfigError(
            f"cluster.tls_ca: {config.tls_ca} holds no certificate that can be read ({error}); mend the path"
        ) from error
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password="")  # so that nobody is asked for one
    except ssl.SSLError as error:
        raise ConfigError(
            f"cluster.tls_cert, cluster.tls_key: {config.tls_cert} and {config.tls_key} are no certificate and its key "
            f"without a password ({error}); mend the paths"
        ) from error


def check_interface(name: str | None) -> None:
    """Refuse a network interface that this machine does not have.

    Raises
    ------
    ConfigError
    """
    there = sorted(psutil.net_if_addrs())
    if name is not None and name not in there:
        raise ConfigError(f"cluster.interface: found {name!r}, expected one of this machine's, {', '.join(there)}")


def dashboard_address(dashboard: bool | str) -> str | None:
    """Where the scheduler's dashboard listens: on the loopback unless another address is asked for; None when off.

    Raises
    ------
    ConfigError
        When nothing can listen there; Dask would take another port.
    """
    if isinstance(dashboard, str):
        host, _, port = dashboard.rpartition(":")
        try:
            if int(port) > LAST_PORT:
                raise OSError(None, f"the last port is {LAST_PORT}")
            with socket.create_server((host, int(port))):
                pass
        except OSError as error:
            reason = str(error.strerror or error).partition(" (while")[0]
            raise ConfigError(
                f"cluster.dashboard: found {dashboard!r}, where nothing can listen ({reason}); expected 'host:port', or true"
            ) from error
    return LOOPBACK if dashboard is True else dashboard or None
