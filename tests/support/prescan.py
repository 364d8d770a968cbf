"""The prescan as the HTML Standard words it (section 13.2.3.2), byte by byte: slow, and plain to compare with.

What a label is, and what the text of a ``content`` names, is asked of the code under test.
"""

from __future__ import annotations

from lbcompanion.html.charset import meta_charset

_WS = b"\t\n\f\r "
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


#: Where this reading cannot be compared.
UNKNOWN = "unknown"


class _OutOfBytesError(Exception):
    pass


class _Scan:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> bytes:
        if self.at >= len(self.data):
            raise _OutOfBytesError
        return self.data[self.at : self.at + 1]

    def starts(self, *words: bytes) -> bool:
        return any(self.data[self.at : self.at + len(word)].lower() == word for word in words)

    def advance_to(self, stops: bytes) -> None:
        while self.byte() not in stops:
            self.at += 1

    def attribute(self) -> tuple[bytes, bytes] | None:
        while self.byte() in _WS + b"/":
            self.at += 1
        if self.byte() == b">":
            return None
        name = b""
        while True:
            byte = self.byte()
            if byte == b"=" and name:
                break
            if byte in _WS:
                while self.byte() in _WS:
                    self.at += 1
                if self.byte() != b"=":
                    return name, b""
                break
            if byte in b"/>":
                return name, b""
            name += byte.lower()
            self.at += 1
        self.at += 1
        return name, self._value()

    def _value(self) -> bytes:
        while self.byte() in _WS:
            self.at += 1
        value = b""
        quote = self.byte()
        if quote in b"\"'":
            self.at += 1
            while self.byte() != quote:
                value += self.byte()
                self.at += 1
            self.at += 1
            return value
        while self.byte() not in _WS + b">":
            value += self.byte()
            self.at += 1
        return value


def prescanned(page: bytes) -> str | None:
    """The encoding that the first ``<meta>`` with one names."""
    scan = _Scan(page[:1024])
    try:
        while True:
            scan.byte()
            if name := _token(scan):
                return name
            scan.at += 1
    except _OutOfBytesError:
        return None


def _token(scan: _Scan) -> str | None:
    if scan.starts(b"<!--"):
        end = scan.data.find(b"-->", scan.at + 2)
        if end < 0:
            raise _OutOfBytesError
        scan.at = end + 2
    elif scan.starts(*(b"<meta" + bytes((byte,)) for byte in _WS + b"/")):
        scan.at += 5
        found: dict[bytes, bytes] = {}
        while attribute := scan.attribute():
            found.setdefault(*attribute)
        return _named(found)
    elif scan.data[scan.at : scan.at + 1] == b"<" and scan.data[scan.at + 1 :].lstrip(b"/")[:1] in _LETTERS:
        return _other(scan)
    elif scan.starts(b"<!", b"</", b"<?"):
        scan.advance_to(b">")
    return None


def _other(scan: _Scan) -> None:
    """A tag that is of no interest; "</" and a letter, or "<" and a letter."""
    rest = scan.data[scan.at + 1 : scan.at + 3]
    if rest[:1] == b"/" and rest[1:] not in tuple(bytes((one,)) for one in _LETTERS):
        scan.advance_to(b">")
        return
    if rest[:1] == b"":
        return
    scan.advance_to(_WS + b">")
    while scan.attribute():
        pass


def _named(found: dict[bytes, bytes]) -> str | None:
    parts = [b"%b='%b'" % (name, value.replace(b"'", b'"')) for name, value in found.items() if value]
    if any(b"'" in value for value in found.values()):
        return UNKNOWN
    return meta_charset(b"<meta " + b" ".join(parts) + b">")
