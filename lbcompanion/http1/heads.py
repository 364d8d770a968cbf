"""Heads: strict parsing and serialisation of start lines and fields (RFC 9112 sections 2 to 5).

Ambiguous heads are rejected. A parsed head keeps the field lines to forward as one block of bytes (``forwardable``)
and an index of the fields that the proxy uses (``values``). Other fields are parsed on first access.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.errors import BadRequest, BadResponse
from lbcompanion.http1.field_lines import (
    ALLOWED_BYTES,
    DUPLICATE,
    REQUEST_FIELDS,
    RESPONSE_FIELDS,
    Lines,
    compiled,
    normalised,
    read_lines,
)

# Method, target, version, lines to forward, indexed values, flags, number of lines.
_Parsed = tuple[bytes, bytes, int, bytes, dict[bytes, bytes], int, int]

#: A header field: name in lower case, value without white space around it.
Field = tuple[bytes, bytes]

_ABSOLUTE = re.compile(rb"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_PORT = re.compile(rb":([0-9]*)\Z")
_DEFAULT_PORTS = {b"http": 80, b"https": 443}
# RFC 3986 section 3.2.2 without user information: a name, an IPv4 address, or an IPv6 one in brackets; and a port.
# Empty is allowed (RFC 9110 section 7.2).
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]*)(?::[0-9]{0,5})?")
# RFC 9110 section 9.1, of those that are written in capitals, as all are that are registered.
_METHOD = re.compile(rb"[A-Z][A-Z0-9_\-]{0,31}")
# RFC 3986 section 2 wants bytes above 0x7F percent-encoded. Old clients and bots send them as they are, and nginx and
# Apache accept that. Control characters and blanks are refused: request lines are split at them.
_TARGET = re.compile(rb"[\x21-\x7e\x80-\xff]+")
_PERCENT_ENCODED = tuple(bytes((byte,)) if byte < 0x80 else b"%%%02X" % byte for byte in range(256))
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_MIN_LINE_BYTES = len(b"a:\r\n")
_HTTP_VERSIONS = {b"HTTP/1.1": 11, b"HTTP/1.0": 10}
# Hosts that were found to be well-formed.
_valid_hosts: BoundedCache[bytes, bool] = BoundedCache()
_is_good_host = _valid_hosts.get
_compiled = compiled()


def use_python_reader(*, python_only: bool = True) -> bool:
    """Switch to the Python reader, or back to the compiled one.

    :returns: whether the compiled reader is used from now on, which needs that it was built.
    """
    global _compiled  # noqa: PLW0603 - which reader there is, is the process's, not a head's
    _compiled = None if python_only else compiled()
    return _compiled is not None


class _Head:
    """The common part of request and response heads.

    :ivar version: 10 or 11.
    :ivar raw: the whole head as received, from the start line to the empty line.
    :ivar forwardable: the lines to forward, each with its line end: all except hop-by-hop fields and fields that the
        proxy generates itself (:mod:`lbcompanion.http1.field_lines`).
    :ivar values: values of the indexed fields, by name in lower case; several lines are combined into one list
        (RFC 9110 section 5.3).
    :ivar flags: which kinds of fields are present: constants of :mod:`lbcompanion.http1.field_lines`.
    """

    __slots__ = ("_fields", "flags", "forwardable", "raw", "values", "version")

    version: int
    forwardable: bytes
    values: dict[bytes, bytes]
    flags: int
    raw: bytes
    _fields: list[tuple[bytes, bytes, bytes]] | None

    _INDEXED = REQUEST_FIELDS

    def split(self) -> list[tuple[bytes, bytes, bytes]]:
        """All fields: name in lower case, name as written, value."""
        found = self._fields
        if found is None:
            found = self._fields = []
            for line in self.raw[self.raw.index(b"\r\n") + 2 : -4].split(b"\r\n"):
                spelling, _, value = line.partition(b":")
                if spelling:
                    spelling = spelling.rstrip(b" \t")
                    found.append((spelling.lower(), spelling, value.strip(b" \t")))
        return found

    @property
    def fields(self) -> list[Field]:
        """All fields in the order of the lines, names in lower case."""
        return [(name, value) for name, _, value in self.split()]

    @property
    def names(self) -> list[bytes]:
        """The names of :attr:`fields` in their original spelling."""
        return [spelling for _, spelling, _ in self.split()]

    def get(self, name: bytes) -> bytes | None:
        """The first value of a field, or None if the head does not have it."""
        if name in self._INDEXED and name not in self.values:
            return None
        return next((value for key, _, value in self.split() if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        """All values of a field, line by line."""
        if name in self._INDEXED and name not in self.values:
            return []
        return [value for key, _, value in self.split() if key == name]


class RequestHead(_Head):
    """The head of a request.

    :ivar method: as sent; methods are case-sensitive.
    :ivar target: origin form (``/path?query``) or ``*``. An absolute form was brought into origin form, and bytes above
        0x7F are percent-encoded.
    """

    __slots__ = ("method", "target")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        version: int,
        raw: bytes,
        forwardable: bytes,
        values: dict[bytes, bytes],
        flags: int,
    ) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.forwardable = forwardable
        self.values = values
        self.flags = flags
        self.raw = raw
        self._fields: list[tuple[bytes, bytes, bytes]] | None = None

    @classmethod
    def from_fields(cls, method: bytes, target: bytes, version: int, fields: Iterable[Field] = ()) -> RequestHead:
        """A head with these fields.

        :raises BadRequest: if a name or value is not valid.
        """
        return cls(method, target, version, *_encode_fields(fields, response=False))

    @property
    def path(self) -> bytes:
        """The target up to the query."""
        return self.target.partition(b"?")[0]


class ResponseHead(_Head):
    """The head of a response."""

    __slots__ = ("reason", "status")

    _INDEXED = RESPONSE_FIELDS

    def __init__(
        self,
        version: int,
        status: int,
        reason: bytes,
        raw: bytes,
        forwardable: bytes,
        values: dict[bytes, bytes],
        flags: int,
    ) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.forwardable = forwardable
        self.values = values
        self.flags = flags
        self.raw = raw
        self._fields: list[tuple[bytes, bytes, bytes]] | None = None

    @classmethod
    def from_fields(cls, version: int, status: int, reason: bytes, fields: Iterable[Field] = ()) -> ResponseHead:
        """A head with these fields.

        :raises BadRequest: if a name or value is not valid.
        """
        return cls(version, status, reason, *_encode_fields(fields, response=True))


def _encode_fields(fields: Iterable[Field], *, response: bool) -> tuple[bytes, bytes, dict[bytes, bytes], int]:
    raw = b"\r\n%b\r\n" % write_fields(fields)
    lines = _parse_field_lines(raw, 2, response=response)
    if lines is None:
        raise BadRequest(400, "an invalid field line")
    return raw, *lines[:3]


def head_end(data: bytes, start: int = 0) -> int:
    """The offset after the empty line that ends a head, or -1 if it has not arrived."""
    found = data.find(b"\r\n\r\n", start)
    return -1 if found < 0 else found + 4


def has_bare_lf(data: bytes) -> bool:
    """Whether a line of an incomplete head ends with a bare LF, so that the head can be rejected early."""
    return data.count(b"\n") != data.count(b"\r\n")


def _parse_field_lines(raw: bytes, field_start: int, *, response: bool) -> Lines | None:
    """Parse the field lines in any valid form; None if they are ambiguous.

    Removing all allowed bytes must leave only CRLF pairs: this rejects bare CR, bare LF and control characters.
    """
    ends = raw.translate(None, ALLOWED_BYTES)
    if ends != b"\r\n" * raw.count(b"\r\n"):
        return None
    lines = read_lines(raw, field_start, response=response)
    if lines is None:
        normal = normalised(raw, field_start, response=response)
        lines = None if normal is None else read_lines(normal, field_start, response=response)
    return lines


def whole_request_head(data: bytes, max_lines: int = 100) -> RequestHead | None:
    """Parse the head of a request if it is all of the data, in the usual form; None if it may be anything else.

    A search for the end of the head costs more than the parsing, and most requests have no body.
    """
    if _compiled is None or data[-4:] != b"\r\n\r\n":
        return None
    parsed = _compiled.read_request(data)
    return None if parsed is None else _checked(parsed, data, max_lines)


def read_request_head(raw: bytes, max_lines: int = 100) -> RequestHead:
    """Parse the head of a request.

    :param raw: from the first byte of the request line to the empty line, both included.
    :param max_lines: how many field lines it may have.
    :raises BadRequest: 400 for an ambiguous head, 431 for too many lines, 501 for a method or
        a form that is not served, 505 for another version than 1.0 and 1.1.
    """
    parsed = None if _compiled is None else _compiled.read_request(raw)
    if parsed is None:
        parsed = _read_request(raw)
    return _checked(parsed, raw, max_lines)


def _checked(parsed: _Parsed, raw: bytes, max_lines: int) -> RequestHead:
    """The head, if it has no more than ``max_lines`` lines and its host and target are valid."""
    method, target, version, forwardable, values, flags, count = parsed
    if count > max_lines:
        raise BadRequest(431, f"more than {max_lines} header lines")
    head = RequestHead(method, target, version, raw, forwardable, values, flags)
    host = values.get(b"host")
    if host is None or not _is_good_host(host) or flags & DUPLICATE or target[:1] != b"/" or b"#" in target:
        return _with_valid_target(head)
    return head


def _read_request(raw: bytes) -> _Parsed:
    """Parse any valid head; the result is that of the compiled reader."""
    if has_bare_lf(raw):
        # First, because callers pass incomplete heads that end here.
        raise BadRequest(400, "a bare LF in the head")
    first = raw.find(b"\r\n")
    parts = raw[:first].split(b" ")
    if len(parts) != 3:
        raise BadRequest(400, "the request line does not have three parts")
    method, target, protocol = parts
    version = _HTTP_VERSIONS.get(protocol)
    if version is None:
        raise BadRequest(505 if protocol.startswith(b"HTTP/") else 400, "only HTTP/1.0 and HTTP/1.1 are served")
    lines = _parse_field_lines(raw, first + 2, response=False)
    if lines is None:
        raise BadRequest(400, "an invalid or folded field line, a bare CR or LF, or a control character")
    if method == b"CONNECT" or not _METHOD.fullmatch(method):
        raise BadRequest(501, "a method that is not served")
    if not _TARGET.fullmatch(target):
        raise BadRequest(400, "the target has blanks or control characters, which must be percent-encoded")
    if not target.isascii():
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute and not absolute[2].isascii():
            raise BadRequest(400, "the target's host is not a valid host")
        target = b"".join(map(_PERCENT_ENCODED.__getitem__, target))
    return method, target, version, *lines


def _with_valid_target(head: RequestHead) -> RequestHead:
    """Check Host and target (RFC 9112 section 3.2), and bring the target into origin form."""
    hosts = head.all(b"host")
    if len(hosts) > 1 or (not hosts and head.version == 11):
        raise BadRequest(400, "exactly one Host field is required")
    if hosts:
        if not _HOST.fullmatch(hosts[0]):
            raise BadRequest(400, "the Host field is not a valid host")
        _valid_hosts.put(hosts[0], True)
    target = head.target
    if target.startswith(b"/") or (target == b"*" and head.method == b"OPTIONS"):
        if b"#" in target:
            raise BadRequest(400, "a fragment in the target")
        return head
    absolute = _ABSOLUTE.fullmatch(target)
    if not absolute:
        raise BadRequest(400, "the target is neither a path nor an absolute address")
    return _in_origin_form(head, absolute[1].lower(), absolute[2], absolute[3])


def _in_origin_form(head: RequestHead, scheme: bytes, authority: bytes, rest: bytes) -> RequestHead:
    """The head with the target in origin form, and with the target's host in place of that of ``Host``, which is to
    be ignored (RFC 9112 section 3.2.2)."""
    host = _without_default_port(scheme, authority)
    if not host or host.startswith(b":") or not _HOST.fullmatch(authority):
        raise BadRequest(400, "the target's host is not a valid host")
    target = rest if rest.startswith(b"/") else b"/" + rest
    if head.method == b"OPTIONS" and not rest:
        target = b"*"  # RFC 9112 section 3.2.4
    given = head.values.get(b"host")
    if given is None:
        raise BadRequest(400, "an absolute address as target, but no Host field")
    if _without_default_port(scheme, given).lower() == host.lower():
        head.target = target
        return head
    fields = [(spelling, value) for name, spelling, value in head.split() if name != b"host"]
    return RequestHead.from_fields(head.method, target, head.version, [(b"Host", host), *fields])


def _without_default_port(scheme: bytes, authority: bytes) -> bytes:
    """The authority without a port that the scheme implies, however it is written (RFC 9110 section 4.2.3)."""
    port = _PORT.search(authority)
    if port is not None and (not port[1] or int(port[1]) == _DEFAULT_PORTS[scheme]):
        return authority[: port.start()]
    return authority


def is_response_start(data: bytes) -> bool:
    """Whether the data may be the beginning of a response; it may be incomplete."""
    return data[:7] == b"HTTP/1."[: len(data)]


def read_response_head(raw: bytes, max_lines: int = 0) -> ResponseHead:
    """Parse the head of a response, including interim responses (1xx).

    :param max_lines: how many field lines it may have; 0 for any number.
    :raises BadResponse: if it is ambiguous, or has too many lines.
    """
    # A line has four bytes at least, so most heads need not be counted.
    if max_lines and len(raw) > _MIN_LINE_BYTES * max_lines and raw.count(b"\n") > max_lines + 2:
        raise BadResponse(f"more than {max_lines} header lines in the application's head", "head too large")
    parsed = None if _compiled is None else _compiled.read_response(raw)
    if parsed is None:
        parsed = _read_response(raw)
    version, status, reason, forwardable, values, flags = parsed
    return ResponseHead(version, status, reason, raw, forwardable, values, flags)


def _read_response(raw: bytes) -> tuple[int, int, bytes, bytes, dict[bytes, bytes], int]:
    """Parse any valid head; the result is that of the compiled reader."""
    first = raw.find(b"\r\n")
    line = raw[:first]
    found = _STATUS_LINE.fullmatch(line)
    if found is None:
        if line[:8] not in _HTTP_VERSIONS:
            raise BadResponse("the application's answer is not HTTP/1.0 or HTTP/1.1")
        raise BadResponse("the application's status line breaks the grammar")
    lines = _parse_field_lines(raw, first + 2, response=True)
    if lines is None:
        raise BadResponse("a line that is no field, a folded line, a bare CR or LF, or a control byte in the answer")
    return 11 if found[1] == b"1" else 10, int(found[2]), found[3] or b"", *lines[:3]


def write_status_line(status: int, reason: bytes) -> bytes:
    """``HTTP/1.1 200 OK`` with its line end; HTTP/1.0 clients get version 1.1 too (RFC 9110 section 2.5)."""
    return b"HTTP/1.1 %d %b\r\n" % (status, reason)


def write_fields(fields: Iterable[Field]) -> bytes:
    """Serialise field lines, each with its line end, without the empty line."""
    return b"".join([b"%b: %b\r\n" % field for field in fields])


def without(lines: bytes, names: Iterable[bytes]) -> bytes:
    """The lines without those of some fields.

    :param lines: each with its line end, as heads keep them.
    :param names: in lower case.
    """
    dropped = frozenset(names)
    return b"".join(
        [line for line in lines.splitlines(keepends=True) if line.partition(b":")[0].lower() not in dropped]
    )
