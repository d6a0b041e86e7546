"""The FITS file: its bytes, cut into HDUs whose headers have been proved against the size of the file.

A broken file must end in one clear line, quickly and without a warning from elsewhere, so sizes are checked here before
anything is allocated. `survey.events.fits_table` reads the columns of a binary table. After the FITS standard 4.0.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BLOCK = 2880
CARD = 80
MAX_BYTES = 1 << 32
MAX_HDUS = 10_000
ASSUMED = {"PCOUNT": 0, "GCOUNT": 1}
"""Keywords that every extension must have, and what they are taken for where one is missing: what all tables have."""

HeaderValue = str | int | float | bool
Header = Mapping[str, HeaderValue]


class FitsError(Exception):
    """A file, an HDU or a column cannot be read; the message says what was found."""


@dataclass(frozen=True, eq=False)
class Hdu:
    """One HDU.

    Parameters
    ----------
    number : int
        Its place in the file, the primary HDU is 0.
    header : mapping
        Keywords and values; a keyword without a value is left out, of repeated ones the first counts.
    place : int
        Where its header begins.
    start, size : int
        Where its data begin, and how many bytes they are, without padding.
    content : memoryview
        The whole file.
    """

    number: int
    header: Header
    place: int
    start: int
    size: int
    content: memoryview

    @property
    def name(self) -> str:
        """``EXTNAME``, or nothing."""
        return str(self.header.get("EXTNAME", "")).strip()

    @property
    def label(self) -> str:
        """Name for messages: ``EXTNAME``, or the number."""
        return self.name or f"HDU {self.number}"

    @property
    def is_table(self) -> bool:
        """Whether it is a binary table."""
        return str(self.header.get("XTENSION", "")).strip().upper() in ("BINTABLE", "A3DTABLE")

    @property
    def missing(self) -> dict[str, int]:
        """Keywords that it must have and has not, with what was assumed."""
        return {keyword: value for keyword, value in ASSUMED.items() if self.number and keyword not in self.header}

    @property
    def data(self) -> memoryview:
        """Its data."""
        return self.content[self.start : self.start + self.size]


@dataclass(frozen=True, eq=False)
class FitsFile:
    """A FITS file in memory.

    Parameters
    ----------
    hdus : tuple of Hdu
        Those that are whole.
    broken : str
        Why the file ends before it should; empty when it does not.
    remark : str
        What is odd about its end, though nothing is lost.
    """

    hdus: tuple[Hdu, ...]
    broken: str = ""
    remark: str = ""
    _names: dict[str, list[Hdu]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: str, *, md5: str = "") -> FitsFile:
        """Read a file, plain or gzipped whatever its name, into memory.

        Parameters
        ----------
        path : str
            Of the file.
        md5 : str
            Checksum that it must have, hexadecimal; empty for any.

        Raises
        ------
        FitsError
            When it cannot be read, is no FITS file, or has another checksum.
        """
        try:
            with open(path, "rb") as stream:
                content = stream.read()
        except OSError as error:
            raise FitsError(f"cannot be read: {error.strerror or type(error).__name__}") from None
        if md5:
            found = hashlib.md5(content, usedforsecurity=False).hexdigest()
            if found != md5.strip().lower():
                raise FitsError(f"MD5 is {found}, the index says {md5.strip().lower()}")
        return cls.parse(decompress(content))

    @classmethod
    def parse(cls, content: bytes) -> FitsFile:
        """Cut the bytes of a FITS file into HDUs."""
        if not content:
            raise FitsError("is empty")
        if not content.startswith(b"SIMPLE  ="):
            raise FitsError(f"is no FITS file: it begins with {content[:9]!r}, expected b'SIMPLE  ='")
        view = memoryview(content)
        hdus: list[Hdu] = []
        position, broken, remark = 0, "", ""
        while position < len(content) and len(hdus) < MAX_HDUS:
            if hdus and not content.startswith(b"XTENSION=", position):
                # The standard allows special records there; nothing that belongs to an HDU follows them.
                if content[position:].strip(b"\0 "):
                    remark = f"{len(content) - position} bytes after HDU {len(hdus) - 1} are no HDU and were ignored"
                break
            start = _header_end(content, position)
            if start < 0:
                broken = f"is truncated or corrupt: the header of HDU {len(hdus)} has no END"
                break
            header = parse_header(content[position:start])
            try:
                size = _data_size(header, first=not hdus)
            except FitsError as error:
                broken = f"is corrupt: HDU {len(hdus)}: {error}"
                break
            if start + size > len(content):
                broken = (
                    f"is truncated or corrupt: HDU {len(hdus)} needs {size} bytes of data, "
                    f"{max(len(content) - start, 0)} are there"
                )
                break
            hdus.append(Hdu(len(hdus), header, position, start, size, view))
            position = start + -(-size // BLOCK) * BLOCK
            if position > len(content):
                remark = f"the last block is not padded to {BLOCK} bytes"
        if not hdus:
            raise FitsError(broken)
        return cls(tuple(hdus), broken, remark)

    @property
    def tables(self) -> tuple[Hdu, ...]:
        """Its binary tables."""
        return tuple(hdu for hdu in self.hdus if hdu.is_table)

    def find(self, name: str) -> Hdu:
        """The HDU of that name (case does not matter) or number.

        Raises
        ------
        FitsError
            When there is none, with the names that there are.
        """
        if not self._names:
            for hdu in self.hdus:
                self._names.setdefault(hdu.name.upper(), []).append(hdu)
        found = self._names.get(name.strip().upper(), []) if name.strip() else []
        if found:
            return found[0]
        if name.strip().isdigit() and int(name) < len(self.hdus):
            return self.hdus[int(name)]
        raise FitsError(f"has no HDU {name!r}, only {', '.join(hdu.label for hdu in self.hdus)}")


def decompress(content: bytes) -> bytes:
    """Gunzip, where it is gzipped; FitsError when it is cut or corrupt."""
    if content[:2] != b"\x1f\x8b":
        return content
    parts: list[bytes] = []
    room = MAX_BYTES
    while content[:2] == b"\x1f\x8b":
        engine = zlib.decompressobj(wbits=31)
        try:
            part = engine.decompress(content, room)
        except zlib.error as error:
            raise FitsError(f"is corrupt gzip: {str(error).split(': ')[-1]}") from None
        if engine.unconsumed_tail:
            raise FitsError(f"unpacks to more than {MAX_BYTES} bytes")
        if not engine.eof:
            raise FitsError("is truncated gzip")
        parts.append(part)
        room = max(room - len(part), 1)
        content = engine.unused_data.lstrip(b"\0")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def parse_header(cards: bytes) -> dict[str, HeaderValue]:
    """Keywords and values of a header; of repeated keywords the first."""
    text = cards.decode("latin-1")
    header: dict[str, HeaderValue] = {}
    pending = ""
    for card in (text[i : i + CARD] for i in range(0, len(text), CARD)):
        keyword = card[:8].rstrip()
        if keyword == "END" and not card[3:].strip():
            break
        if keyword == "CONTINUE" and pending:
            more = _value(card[8:])
            before = header[pending]
            if isinstance(more, str) and isinstance(before, str) and before.endswith("&"):
                header[pending] = before[:-1] + more
            continue
        pending = ""
        if card[8:10] != "= " or not keyword or keyword in header:
            continue
        value = _value(card[10:])
        if value is not None:
            header[keyword] = value
            pending = keyword
    return header


def _value(field_: str) -> HeaderValue | None:
    text = field_.strip()
    if not text or text[0] == "/":
        return None
    if text[0] == "'":
        end = 1
        while True:
            end = text.find("'", end)
            if end < 0:
                return text[1:].rstrip()
            if text[end : end + 2] != "''":
                return text[1:end].replace("''", "'").rstrip()
            end += 2
    text = text.split("/", 1)[0].strip()
    if text in ("T", "F"):
        return text == "T"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text.upper().replace("D", "E"))
    except ValueError:
        # Not a FITS value: kept as text, so that whoever wants a number can say what was found.
        return text


def _header_end(content: bytes, position: int) -> int:
    for start in range(position, len(content), BLOCK):
        block = content[start : start + BLOCK]
        if any(block[i : i + 8] == b"END     " for i in _candidates(block)):
            return start + BLOCK if len(block) == BLOCK else -1
    return -1


def _candidates(block: bytes) -> Iterator[int]:
    at = block.find(b"END     ")
    while at >= 0:
        if at % CARD == 0:
            yield at
        at = block.find(b"END     ", at + 1)


def _whole(header: Header, keyword: str, default: int | None = None) -> int:
    value = header.get(keyword, default)
    if value is None or isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise FitsError(f"{keyword} is {value!r}, expected a whole number >= 0")
    return value


def _data_size(header: Header, *, first: bool) -> int:
    bits = header.get("BITPIX")
    if bits not in (8, 16, 32, 64, -32, -64):
        raise FitsError(f"BITPIX is {bits!r}, expected 8, 16, 32, 64, -32 or -64")
    dimensions = _whole(header, "NAXIS")
    if dimensions > 999:
        raise FitsError(f"NAXIS is {dimensions}, expected at most 999")
    if dimensions == 0:
        return 0
    lengths = [_whole(header, f"NAXIS{i}") for i in range(1, dimensions + 1)]
    if first and lengths[0] == 0 and header.get("GROUPS") is True:
        lengths[0] = 1
    count = 1
    for length in lengths:
        count *= length
    return (
        abs(int(bits))
        // 8
        * _whole(header, "GCOUNT", ASSUMED["GCOUNT"])
        * (_whole(header, "PCOUNT", ASSUMED["PCOUNT"]) + count)
    )
