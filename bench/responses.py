"""Reads an answer and judges it: 200, whole, its own, the application's bytes, and the tag where one is due. No I/O."""

from __future__ import annotations

import zlib

from bench.workload import TAG, Case, piece

_MAX_HEAD = 65536


class WrongResponse(Exception):
    """An answer that is not what was asked for; a figure made of such answers would mean nothing."""


class PatternBody:
    """Compares a stream with what it must be, as it comes."""

    def __init__(self) -> None:
        self.size = 0

    def receive(self, data: memoryview) -> None:
        """The next bytes."""
        for start in range(0, len(data), 65536):
            part = data[start : start + 65536]
            if part != piece(self.size, len(part)):
                raise WrongResponse(f"not the stream, after {self.size} bytes")
            self.size += len(part)


class FullBody:
    """Keeps a body."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0

    def receive(self, data: memoryview) -> None:
        """The next bytes."""
        self.parts.append(bytes(data))
        self.size += len(data)

    def decoded(self, coded: bool) -> bytes:
        """All of it.

        :param coded: it is gzip's.
        :raises Wrong: where it is not, or has no end.
        """
        body = b"".join(self.parts)
        if not coded:
            return body
        coder = zlib.decompressobj(31)
        try:
            plain = coder.decompress(body)
        except zlib.error as error:
            raise WrongResponse(f"not gzip: {error}") from None
        if not coder.eof or coder.unused_data:
            raise WrongResponse("gzip without an end")
        return plain


class Message:
    """An incremental parser of a response's framing.

    :param body: takes the body, chunk framing left out.
    :param bodiless: the request was a HEAD.
    :ivar status: 0 until the head is there.
    :ivar fields: by name in lower case; of a name that comes twice, the last.
    :ivar whole: whether it is all there.
    :ivar rest: what came after it; only a switch of protocols may have any.
    """

    def __init__(self, body: PatternBody | FullBody, bodiless: bool = False) -> None:
        self._body = body
        self._bodiless = bodiless
        self._head = b""
        self._line = b""
        self._left = -1
        self._chunked = False
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.whole = False
        self.rest = b""

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return self._body.size

    def text(self) -> bytes:
        """The first words of the body, where it is kept."""
        return b"".join(self._body.parts)[:200] if isinstance(self._body, FullBody) else b""

    def feed(self, data: bytes) -> None:
        """Take bytes in.

        :raises Wrong: for framing that cannot be read, bytes after the end, another stream.
        """
        if not self.status:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                if len(self._head) > _MAX_HEAD:
                    raise WrongResponse("a head without an end")
                return
            data = self._head[end + 4 :]
            self._read_head(end)
        rest = memoryview(data)
        if self.whole or self._bodiless:
            self.whole = True
        elif self._chunked:
            rest = self._chunks(rest)
        else:
            self._body.receive(rest[: self._left])
            self._left, rest = self._left - min(self._left, len(rest)), rest[self._left :]
            self.whole = self._left == 0
        if rest and self.status != 101:
            raise WrongResponse("bytes after the answer")
        self.rest = bytes(rest)

    def _read_head(self, end: int) -> None:
        lines = self._head[:end].split(b"\r\n")
        if not lines[0].startswith(b"HTTP/1.1 "):
            raise WrongResponse(f"status line {lines[0][:60]!r}")
        self.status = int(lines[0][9:12])
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        self.on_head()
        fields = self.fields
        if self.status < 200 or self.status in {204, 304}:
            self._bodiless = True
        elif b"content-length" in fields:
            self._left = int(fields[b"content-length"])
        elif fields.get(b"transfer-encoding") == b"chunked":
            self._chunked = True
        elif not self._bodiless:
            raise WrongResponse("neither a length nor chunks")

    def on_head(self) -> None:
        """The head is there.

        :raises Wrong: where it is not as it must be.
        """

    def _chunks(self, data: memoryview) -> memoryview:
        """Read the chunks received; return the data after the last one.

        ``_left`` has the bytes of a chunk still to come with the CRLF after it, less than zero between chunks.
        """
        while data:
            if self._left > 2:
                taken = data[: self._left - 2]
                self._body.receive(taken)
                self._left, data = self._left - len(taken), data[len(taken) :]
                continue
            if self._left > 0:
                wanted = b"\r\n"[2 - self._left :][: len(data)]
                if data[: len(wanted)] != wanted:
                    raise WrongResponse("a chunk is longer than it says")
                self._left, data = self._left - len(wanted), data[len(wanted) :]
                self._left = self._left or -1
                continue
            # A chunk's first line, or after the last chunk the empty line: never more than a few bytes.
            found = bytes(data[:32]).find(b"\n")
            self._line += bytes(data[: found + 1] if found >= 0 else data)
            data = data[found + 1 :] if found >= 0 else data[len(data) :]
            if self._line.endswith(b"\r\n"):
                line, self._line = self._line[:-2], b""
                if self._left == 0:
                    if line:
                        raise WrongResponse("trailers that nobody sent")
                    self.whole = True
                    return data
                size = self._size_of(line)
                self._left = size + 2 if size else 0
            elif len(self._line) > 32:
                raise WrongResponse("a chunk's size cannot be read")
        return data

    @staticmethod
    def _size_of(line: bytes) -> int:
        try:
            return int(line.split(b";")[0], 16)
        except ValueError:
            raise WrongResponse(f"a chunk of size {line[:20]!r}") from None


class CheckedResponse(Message):
    """An answer to one of the bench's cases.

    :param number: the request's; the answer must bear it.
    """

    def __init__(self, case: Case, number: int) -> None:
        self._kept = FullBody()
        super().__init__(PatternBody() if case.streamed else self._kept)
        self._case = case
        self._number = number

    def on_head(self) -> None:
        """Check status 200, the case's own fields and whether the connection is kept."""
        if self.status != 200:
            raise WrongResponse(f"status {self.status}")
        if self.fields.get(b"x-request-id") != b"%d" % self._number:
            raise WrongResponse("the answer to another request")
        connection = self.fields.get(b"connection", b"").lower()
        if connection == (b"close" if self._case.kept else b"keep-alive"):
            raise WrongResponse(f"the connection is {'not ' if self._case.kept else ''}kept alive")

    def check(self, tagged: bool) -> str:
        """Judge the answer when it is whole.

        :param tagged: whether a tag must be there; it may be nowhere else.
        :returns: the token in it, empty without a tag.
        :raises Wrong: where anything differs from what the application answers.
        """
        if self._case.streamed:
            if self.size != self._case.size:
                raise WrongResponse("not all of the stream")
            return ""
        coded = self.fields.get(b"content-encoding") == b"gzip"
        if coded != (self._case.coding == "gzip"):
            raise WrongResponse("not the coding that was asked for")
        return check_body(self._kept.decoded(coded), self._case.body, tagged, b"https" if self._case.tls else b"http")


def check_body(body: bytes, wanted: bytes, tagged: bool, scheme: bytes = b"http") -> str:
    """Judge a decoded body; see :meth:`CheckedResponse.check`.

    :param scheme: of the address in the tag.
    """
    if not tagged:
        if body != wanted:
            raise WrongResponse("not the bytes of the application")
        return ""
    found = TAG.search(body)
    if found is None:
        raise WrongResponse("no tag in the page")
    if found[2] != scheme:
        raise WrongResponse("the address in the tag has another scheme")
    if body[: found.start()] + body[found.end() :] != wanted:
        raise WrongResponse("not the page around the tag")
    if found.start() > body.index(b"</head>"):
        raise WrongResponse("the tag is not in the head")
    return found[1].decode()
