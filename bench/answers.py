"""Reads an answer and judges it: 200, whole, the application's page, and the tag where one is due. No I/O."""

from __future__ import annotations

import zlib

from bench.workload import PAGE, TAG


class Wrong(Exception):
    """An answer that is not what was asked for; a figure made of such answers would mean nothing."""


class Answer:
    """One answer as it comes in.

    :ivar whole: whether it is all there.
    """

    def __init__(self) -> None:
        self._data = b""
        self._body_at = -1
        self._length = -1
        self.whole = False

    def feed(self, data: bytes) -> None:
        """Take bytes in.

        :raises Wrong: for a status other than 200, or framing that cannot be read.
        """
        self._data += data
        if self._body_at < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            self._head(end)
        if self._length >= 0:
            self.whole = len(self._data) >= self._body_at + self._length
        else:
            self.whole = self._data.endswith(b"0\r\n\r\n")

    def _head(self, end: int) -> None:
        self._body_at = end + 4
        lines = self._data[:end].split(b"\r\n")
        if not lines[0].startswith(b"HTTP/1.1 200 "):
            raise Wrong(f"status line {lines[0][:60]!r}")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        self._coded = fields.get(b"content-encoding") == b"gzip"
        if fields.get(b"connection", b"").lower() == b"close":
            raise Wrong("the connection is not kept alive")
        if b"content-length" in fields:
            self._length = int(fields[b"content-length"])
        elif fields.get(b"transfer-encoding") != b"chunked":
            raise Wrong("neither a length nor chunks")

    def check(self, coding: str, tagged: bool) -> str:
        """Judge the whole answer.

        :param coding: what was accepted.
        :param tagged: whether a tag must be there; it may be nowhere else.
        :returns: the token in it, empty without a tag.
        :raises Wrong: where anything differs from the page.
        """
        body = self._data[self._body_at :]
        if self._length < 0:
            body = _unchunked(body)
        elif len(body) != self._length:
            raise Wrong("bytes after the answer")
        if self._coded != (coding == "gzip"):
            raise Wrong("not the coding that was asked for")
        if self._coded:
            body = zlib.decompress(body, 31)
        if not tagged:
            if body != PAGE:
                raise Wrong("not the page")
            return ""
        found = TAG.search(body)
        if found is None:
            raise Wrong("no tag in the page")
        if body[: found.start()] + body[found.end() :] != PAGE:
            raise Wrong("not the page around the tag")
        if found.start() > body.index(b"</head>"):
            raise Wrong("the tag is not in the head")
        return found[1].decode()


def _unchunked(data: bytes) -> bytes:
    pieces: list[bytes] = []
    at = 0
    while True:
        line = data.index(b"\r\n", at)
        size = int(data[at:line].split(b";")[0], 16)
        at = line + 2
        if size == 0:
            if data[at:] != b"\r\n":
                raise Wrong("bytes after the last chunk")
            return b"".join(pieces)
        pieces.append(data[at : at + size])
        at += size + 2
