"""Heads of requests and answers, read by us and by h11.

An input is one byte (what it is the head of, and how it is answered) and a head. Broken is: whatever raises but a
refusal; a head that we accept and h11 does not, or reads otherwise, in its fields or in where the message ends; a head
that h11 accepts and we do not, for none of the reasons in :data:`STRICTER`; an answer's head that a copy does not keep
as we read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from random import Random

import h11

from fuzz.h11_reading import connection
from fuzz.target import Target
from lbcompanion.errors import BadRequest, BadResponse
from lbcompanion.http1.framing import BodyKind, Framing, request_framing, response_framing
from lbcompanion.http1.heads import (
    RequestHead,
    ResponseHead,
    has_bare_lf,
    head_end,
    read_request_head,
    read_response_head,
)
from lbcompanion.http1.kept_head import kept_head, kept_head_in_python
from lbcompanion.protocol.response_heads import PageHead
from tests.support.http1_samples import ACCEPTED, BAD_ANSWERS, REFUSED, answer

METHODS = (b"GET", b"HEAD", b"POST")
MAX_LINES = 100

_WORDS = """
GET POST HEAD PUT OPTIONS CONNECT PRI NOTIFY / * /a?b http://a.example/ http://a.example HTTP/1.1 HTTP/1.0 HTTP/1.2
Host: a.example Content-Length: Content-Length:~3 Content-Length:~0 Content-Length:~3,~3 Transfer-Encoding:
Transfer-Encoding:~chunked chunked identity gzip Connection: close keep-alive upgrade Upgrade: websocket h2c
TE: trailers Expect:~100-continue X-A:~b 200 204 304 100 101 103 999 099 OK +3 -3 0x3 3 : ; , # " @ [::1] %00
"""
TOKENS: tuple[bytes, ...] = (
    *(word.replace("~", " ").encode() for word in _WORDS.split()),
    *(b"\r\n", b"\r\n", b"\r\n", b"\r\n ", b"\r\n\t", b"\n", b"\r", b"\r\n\r\n", b" ", b"\t", b"\0", b"\x0b", b"\xa0"),
    *(b"\r\nContent-Length: 3", b"\r\nTransfer-Encoding: chunked", b"\r\nHost: a.example", b"\r\nX-A: b", b"a" * 500),
)


def _line(raw: bytes) -> bytes:
    return re.split(rb"\r?\n", raw, maxsplit=1)[0]


def _values(name: bytes, raw: bytes) -> list[bytes]:
    return re.findall(rb"(?im)^%b:[ \t]*(.*?)[ \t]*\r?$" % name, raw)


def _odd_host(raw: bytes) -> bool:
    hosts = _values(b"host", raw)
    return len(hosts) != 1 or not re.fullmatch(
        rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]*)(:[0-9]{0,5})?", hosts[0]
    )


def _authority(target: bytes) -> bytes | None:
    """The host and port of an absolute form, without the default port; None if they are not valid."""
    found = re.match(
        rb"(?i)(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]+)(?::([0-9]{0,5}))?(?=[/?#]|\Z)", target
    )
    if not found:
        return None
    default = 80 if found[1].lower() == b"http" else 443
    return found[2] if not found[3] or int(found[3]) == default else b"%b:%b" % (found[2], found[3])


def _odd_target(raw: bytes) -> bool:
    parts = _line(raw).split(b" ")
    if len(parts) != 3:
        return True
    absolute = re.fullmatch(rb"(?i)https?://([^/?#]*)([^#]*)", parts[1])
    if absolute:
        return _authority(parts[1]) is None
    return (
        not parts[1].startswith(b"/") or b"#" in parts[1] or bool(re.search(rb"[^\x21-\x7e\x80-\xff]", parts[1]))
    ) and parts != [b"OPTIONS", b"*", parts[2]]


#: Why we may refuse what h11 accepts.
STRICTER: dict[str, Callable[[bytes], object]] = {
    "a bare LF ends a line": lambda raw: re.search(rb"(?<!\r)\n", raw),
    "a folded line": lambda raw: re.search(rb"\n[ \t]", raw),
    "too many lines": lambda raw: raw.count(b"\n") > MAX_LINES + 2,
    "an empty line before it": lambda raw: raw[:1] in (b"\r", b"\n"),
    "another version": lambda raw: not re.search(rb"(^| )HTTP/1\.[01](\r| |$)", _line(raw)),
    "control bytes": lambda raw: re.search(rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", raw),
    "a coding but chunked": lambda raw: any(v.lower() != b"chunked" for v in _values(b"transfer-encoding", raw)),
    "two codings": lambda raw: len(_values(b"transfer-encoding", raw)) > 1,
    "a coding in 1.0": lambda raw: _values(b"transfer-encoding", raw) and b"HTTP/1.0" in _line(raw),
    "length and coding": lambda raw: _values(b"transfer-encoding", raw) and _values(b"content-length", raw),
    "two lengths": lambda raw: len(_values(b"content-length", raw)) > 1,
    "a list of lengths, or a long one": lambda raw: any(
        not re.fullmatch(rb"[0-9]{1,18}", value) for value in _values(b"content-length", raw)
    ),
}
STRICTER_REQUESTS: dict[str, Callable[[bytes], object]] = {
    "a method that is not served": lambda raw: (
        not re.fullmatch(rb"(?!CONNECT$)[A-Z][A-Z0-9_\-]{0,31}", _line(raw).split(b" ")[0])
    ),
    "hosts": _odd_host,
    "targets": _odd_target,
}
STRICTER_ANSWERS: dict[str, Callable[[bytes], object]] = {
    "a switch to nothing": lambda raw: b" 101" in _line(raw) and not _values(b"upgrade", raw),
    "no blank behind the status": lambda raw: not re.match(rb"HTTP/1\.[01] [0-9]{3} ", _line(raw)),
}
_KNOWN = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"te", b"expect"})


def _check_end(framing: Framing, theirs: h11.Connection) -> None:
    """h11 finds the message's end where we do."""
    beyond = b"GET /beyond"
    if framing.kind is BodyKind.LENGTH:
        if framing.length > 1 << 20:
            return
        theirs.receive_data(b"x" * framing.length + beyond)
    elif framing.kind is BodyKind.CHUNKED:
        theirs.receive_data(b"3\r\nabc\r\n0\r\n\r\n" + beyond)
    elif framing.kind is BodyKind.UNTIL_CLOSE:
        theirs.receive_data(beyond)
        theirs.receive_data(b"")
    else:
        theirs.receive_data(beyond)
    body = b""
    while isinstance(event := theirs.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage), event
    expected = {
        BodyKind.LENGTH: b"x" * framing.length,
        BodyKind.CHUNKED: b"abc",
        BodyKind.UNTIL_CLOSE: beyond,
        BodyKind.NONE: b"",
    }[framing.kind]
    assert body == expected, (body[:50], framing)
    rest = theirs.trailing_data[0]
    assert rest == (b"" if framing.kind is BodyKind.UNTIL_CLOSE else beyond), rest


def _told(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    # h11 writes codings in small letters.
    return [(bytes(n), bytes(v).lower() if n == b"transfer-encoding" else bytes(v)) for n, v in fields]


def reason(raw: bytes, rules: dict[str, Callable[[bytes], object]]) -> str:
    """Why we may refuse a head that h11 accepts; empty: for no reason."""
    return next((name for name, rule in (STRICTER | rules).items() if rule(raw)), "")


def _excused(raw: bytes, rules: dict[str, Callable[[bytes], object]]) -> str:
    found = reason(raw, rules)
    assert found, f"h11 accepts, we refuse: {raw!r}"
    return found


def _request(raw: bytes) -> Hashable:
    theirs = connection(h11.SERVER)
    # h11 takes no bytes above ASCII in a target, which we encode.
    line = _line(raw)
    theirs.receive_data(encoded(line) + raw[len(line) :])
    try:
        event = theirs.next_event()
    except h11.RemoteProtocolError as error:
        event = error
    try:
        ours = read_request_head(raw, MAX_LINES)
        framing = request_framing(ours)
    except BadRequest as refused:
        return refused.why, refused.status, isinstance(event, h11.Request) and _excused(raw, STRICTER_REQUESTS)
    assert isinstance(event, h11.Request), (event, raw)
    assert ours.method == event.method
    assert origin_form(bytes(event.target), ours.method) == ours.target
    assert bytes(event.http_version) == b"1.%d" % (ours.version - 10)
    authority = _authority(bytes(event.target))
    if authority is None:
        assert _told(ours.fields) == _told(list(event.headers))
    else:
        assert _without_host(ours.fields) == _without_host(list(event.headers))
        assert _authority(b"http://" + (ours.get(b"host") or b"")) is not None
    if authority is not None and ours.get(b"host") != authority:
        given = dict(event.headers)[b"host"]
        scheme = bytes(event.target).partition(b":")[0]
        assert (_authority(scheme + b"://" + given) or b"").lower() == authority.lower(), (given, authority)
    _check_end(framing, theirs)
    return _kind(ours, framing)


def _without_host(fields: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [field for field in _told(fields) if field[0] != b"host"]


def encoded(target: bytes) -> bytes:
    """The bytes with those above ASCII percent-encoded."""
    return re.sub(rb"[\x80-\xff]", lambda found: b"%%%02X" % found[0][0], target)


def origin_form(target: bytes, method: bytes = b"GET") -> bytes:
    """A target as the application gets it."""
    absolute = re.fullmatch(rb"(?i)https?://[^/?#]*([^#]*)", target)
    if not absolute:
        return encoded(target)
    if method == b"OPTIONS" and not absolute[1]:
        return b"*"
    return encoded(absolute[1] if absolute[1].startswith(b"/") else b"/" + absolute[1])


def _kind(head: RequestHead, framing: Framing) -> Hashable:
    return head.method, head.version, framing.kind, frozenset(name for name, _ in head.fields if name in _KNOWN)


def _check_kept(head: ResponseHead) -> None:
    """A copy has each field of a head as the proxy reads it. Of a field that is left out it has the name only."""
    left_out = (b"connection", b"te", b"transfer-encoding", b"x-a")
    kept = kept_head(head.raw, left_out)
    assert kept == kept_head_in_python(head.raw, left_out), head.raw
    read = PageHead.read(kept)
    assert read is not None, kept
    assert read.status == head.status
    fields = [(name, spelling.decode(), value.decode("latin-1")) for name, spelling, value in head.split()]
    assert list(read.fields) == [(spelling, value) for name, spelling, value in fields if name not in left_out]
    names = [name.decode() for name, _, _ in fields if name in left_out]
    assert [name.lower() for name in read.left_out] == list(dict.fromkeys(names))


def _answer(raw: bytes, method: bytes) -> Hashable:
    theirs = connection(h11.CLIENT)
    upgrade = [("Connection", "upgrade"), ("Upgrade", "any")] if b" 101" in raw[:14] else []
    theirs.send(h11.Request(method=method, target="/", headers=[("Host", "a"), *upgrade]))
    theirs.send(h11.EndOfMessage())
    # h11 refuses what RFC 9112 section 5.1 asks of proxies.
    theirs.receive_data(
        re.sub(
            rb"(?im)^(?!(?:content-length|transfer-encoding|connection)[ \t])([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]+:",
            rb"\1:",
            raw,
        )
    )
    try:
        event = theirs.next_event()
    except h11.RemoteProtocolError as error:
        event = error
    accepted = isinstance(event, (h11.Response, h11.InformationalResponse))
    try:
        ours = read_response_head(raw)
        framing = response_framing(ours, method)
    except BadResponse as refused:
        return refused.why, accepted and _excused(raw, STRICTER_ANSWERS)
    _check_kept(ours)
    assert isinstance(event, (h11.Response, h11.InformationalResponse)), (event, raw)
    assert ours.status == event.status_code
    assert _told(ours.fields) == _told(list(event.headers))
    if ours.status >= 200:
        _check_end(framing, theirs)
    return ours.status, ours.version, framing.kind, method


def check(data: bytes) -> Hashable:
    """See :class:`fuzz.target.Target`."""
    choice, raw = data[0], data[1:]
    end = head_end(raw)
    if end < 0:
        return "no end", has_bare_lf(raw)
    raw = raw[:end]
    if choice & 1:
        return _answer(raw, METHODS[(choice >> 1) % len(METHODS)])
    return _request(raw)


def _seeds(random: Random) -> Sequence[bytes]:
    requests = [*ACCEPTED.values(), *(raw for _, raw in REFUSED.values())]
    answers = [*BAD_ANSWERS.values(), answer(), answer(b"Content-Length: 3", b"X-A: b"), answer(line=b"HTTP/1.0 304 x")]
    return [b"\0" + one for one in requests] + [bytes((1 + 2 * random.randrange(3),)) + one for one in answers]


TARGET = Target(seeds=_seeds, tokens=TOKENS, check=check, choices=1, max_bytes=8192)
