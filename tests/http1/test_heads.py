"""Heads: what can be read in one way only is read, the rest is refused (HTTP-AND-HTML, "one reading only")."""

from __future__ import annotations

import contextlib
import re

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import BadRequest, BadResponse
from lbcompanion.http1.fields import end_to_end
from lbcompanion.http1.framing import request_framing, response_framing
from lbcompanion.http1.heads import (
    head_end,
    never_ends,
    read_request_head,
    read_response_head,
    write_fields,
    write_request_line,
    write_status_line,
)


def head(*lines: bytes, line: bytes = b"GET /a HTTP/1.1", host: bytes = b"Host: a.example") -> bytes:
    return b"\r\n".join([line, *([host] if host else []), *lines, b"", b""])


REFUSED = {
    "length with chunked": (400, head(b"Content-Length: 3", b"Transfer-Encoding: chunked")),
    "chunked with length": (400, head(b"Transfer-Encoding: chunked", b"Content-Length: 3")),
    "two lengths": (400, head(b"Content-Length: 3", b"Content-Length: 4")),
    "two lengths alike": (400, head(b"Content-Length: 3", b"Content-Length: 3")),
    "lengths in a list": (400, head(b"Content-Length: 3, 3")),
    "length +2": (400, head(b"Content-Length: +2")),
    "length -2": (400, head(b"Content-Length: -2")),
    "length 0x1": (400, head(b"Content-Length: 0x1")),
    "length 1_0": (400, head(b"Content-Length: 1_0")),
    "length empty": (400, head(b"Content-Length:")),
    "length of a blank inside": (400, head(b"Content-Length: 1 0")),
    "length beyond 64 bits": (400, head(b"Content-Length: 99999999999999999999999")),
    "chunked misspelt": (400, head(b"Transfer-Encoding: chunkedd")),
    "chunked in quotes": (400, head(b'Transfer-Encoding: "chunked"')),
    "chunked with vertical tab": (400, head(b"Transfer-Encoding: \x0bchunked")),
    "chunked twice": (400, head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
    "chunked twice in a list": (400, head(b"Transfer-Encoding: chunked, chunked")),
    "gzip, chunked": (400, head(b"Transfer-Encoding: gzip, chunked")),
    "chunked, identity": (400, head(b"Transfer-Encoding: chunked, identity")),
    "identity": (400, head(b"Transfer-Encoding: identity")),
    "empty coding": (400, head(b"Transfer-Encoding:")),
    "chunked in 1.0": (400, head(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0")),
    "a folded line": (400, head(b"X-A: b", b" c")),
    "a folded coding": (400, head(b"Transfer-Encoding:", b" chunked")),
    "a line folded with a tab": (400, head(b"X-A: b", b"\tc")),
    "a first line folded": (400, head(b" X-A: b", host=b"")),
    "bare CR in a value": (400, head(b"X-A: b\rX-B: c")),
    "bare LF between lines": (400, head(b"X-A: b\nX-B: c")),
    "bare CR at the end": (400, head(b"X-A: b\r")),
    "a blank before the colon": (400, head(b"Transfer-Encoding : chunked")),
    "a tab before the colon": (400, head(b"X-A\t: b")),
    "NUL in a value": (400, head(b"X-A: b\x00c")),
    "escape in a value": (400, head(b"X-A: b\x1bc")),
    "DEL in a value": (400, head(b"X-A: b\x7fc")),
    "NUL in a name": (400, head(b"X\x00A: b")),
    "no colon": (400, head(b"X-A")),
    "no name": (400, head(b": b")),
    "a name in Latin-1": (400, head("X-\u00e9: b".encode("latin-1"))),
    "two hosts": (400, head(b"Host: b.example")),
    "two hosts alike": (400, head(b"Host: a.example")),
    "no host in 1.1": (400, head(host=b"")),
    "a list of hosts": (400, head(host=b"Host: a.example, b.example")),
    "a host with a blank": (400, head(host=b"Host: a.example b")),
    "a host with a path": (400, head(host=b"Host: a.example/b")),
    "a host with a user": (400, head(host=b"Host: b@a.example")),
    "a host with a query": (400, head(host=b"Host: a.example?b")),
    "a host with a backslash": (400, head(host=b"Host: a.example\\b")),
    "a host with half a bracket": (400, head(host=b"Host: [::1")),
    "a host with a bracket inside": (400, head(host=b"Host: a[b]")),
    "a host with a port that is none": (400, head(host=b"Host: a.example:http")),
    "a host in quotes": (400, head(host=b'Host: "a.example"')),
    "absolute form with another host": (400, head(line=b"GET http://b.example/ HTTP/1.1")),
    "absolute form with another port": (400, head(line=b"GET http://a.example:81/ HTTP/1.1")),
    "absolute form with a user": (400, head(line=b"GET http://u@a.example/ HTTP/1.1")),
    "absolute form without host": (400, head(line=b"GET http://a.example/ HTTP/1.1", host=b"")),
    "a target of another scheme": (400, head(line=b"GET ftp://a.example/ HTTP/1.1")),
    "a target without a slash": (400, head(line=b"GET a HTTP/1.1")),
    "a fragment": (400, head(line=b"GET /a#b HTTP/1.1")),
    "asterisk for GET": (400, head(line=b"GET * HTTP/1.1")),
    "a target with a blank": (400, head(line=b"GET /a b HTTP/1.1")),
    "a target with a tab": (400, head(line=b"GET /a\tb HTTP/1.1")),
    "two blanks": (400, head(line=b"GET  /a HTTP/1.1")),
    "a blank behind the version": (400, head(line=b"GET /a HTTP/1.1 ")),
    "a blank before the method": (400, head(line=b" GET /a HTTP/1.1")),
    "no version": (400, head(line=b"GET /a")),
    "no protocol": (400, head(line=b"GET /a ICY/1.1")),
    "version 1.2": (505, head(line=b"GET /a HTTP/1.2")),
    "version 2.0": (505, head(line=b"GET /a HTTP/2.0")),
    "version 0.9": (505, head(line=b"GET /a HTTP/0.9")),
    "version in small letters": (400, head(line=b"GET /a http/1.1")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\n"),
    "CONNECT": (501, head(line=b"CONNECT a.example:443 HTTP/1.1")),
    "a method with a slash": (501, head(line=b"GE/T / HTTP/1.1")),
    "a target in UTF-8": (400, head(line="GET /\u00e9 HTTP/1.1".encode())),
    "a version of two digits": (505, head(line=b"GET / HTTP/1.10")),
    "a method in small letters": (501, head(line=b"get / HTTP/1.1")),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\r\n\r\n"),
    "101 lines": (431, head(*[b"X-A: b"] * 100)),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_can_be_read_in_more_than_one_way_is_refused(case: tuple[int, bytes]) -> None:
    status, raw = case
    with pytest.raises(BadRequest) as refused:
        request_framing(read_request_head(raw))
    assert refused.value.status == status


ACCEPTED = {
    "plain": head(),
    "100 lines": head(*[b"X-A: b"] * 99),
    "an empty value": head(b"X-A:", b"X-B: "),
    "blanks around a value": head(b"X-A:\t b c \t"),
    "a length with blanks around": head(b"Content-Length:  3 "),
    "chunked in capitals": head(b"Transfer-Encoding: CHUNKED"),
    "Latin-1 in a value": head("X-A: \u00e9".encode("latin-1")),
    "no host in 1.0": head(line=b"GET / HTTP/1.0", host=b""),
    "a host with a port": head(host=b"Host: a.example:8080"),
    "an IPv6 host": head(host=b"Host: [::1]:80"),
    "an empty host": head(host=b"Host:"),
    "absolute form": head(line=b"GET http://A.example/b?c HTTP/1.1"),
    "OPTIONS *": head(line=b"OPTIONS * HTTP/1.1"),
    "a method that nobody knows": head(line=b"NONSENSE / HTTP/1.1"),
    "a colon and a blank behind a value": head(b"X-A: b: "),
    "no blank behind the colon": head(b"X-A:b: c", b"X-B:c"),
    "WebDAV": head(line=b"PROPFIND /a HTTP/1.1"),
    "an upgrade": head(b"Connection: Upgrade", b"Upgrade: websocket", b"X-A: b"),
    "h2c": head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA"),
    "the same name twice": head(b"Cookie: a=b", b"Cookie: c=d"),
}


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_what_we_write_of_it_h11_reads_as_one_message_with_our_reading(raw: bytes) -> None:
    ours = read_request_head(raw)
    request_framing(ours)
    written = write_request_line(ours.method, ours.target) + write_fields(
        zip(ours.names, (value for _, value in ours.fields), strict=True)
    )
    if ours.version == 10 and ours.get(b"host") is None:
        written += b"Host: \r\n"
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(written + b"\r\n")
    event = theirs.next_event()
    assert isinstance(event, h11.Request)
    assert (bytes(event.method), bytes(event.target)) == (ours.method, ours.target)
    # h11 writes codings in small letters.
    told = [(n, v.lower() if n == b"transfer-encoding" else v) for n, v in ours.fields]
    assert [(bytes(n), bytes(v)) for n, v in event.headers][: len(told)] == told


def test_values_have_no_white_space_around_them() -> None:
    read = read_request_head(ACCEPTED["blanks around a value"])
    assert read.get(b"x-a") == b"b c"
    assert request_framing(read_request_head(ACCEPTED["a length with blanks around"])).length == 3


def test_absolute_form_becomes_origin_form() -> None:
    assert read_request_head(ACCEPTED["absolute form"]).target == b"/b?c"
    for target in (b"http://a.example", b"HTTP://a.example/"):
        assert read_request_head(head(line=b"GET %b HTTP/1.1" % target)).target == b"/"
    assert read_request_head(head(line=b"GET http://a.example?q HTTP/1.1")).target == b"/?q"


def test_names_keep_their_writing() -> None:
    read = read_request_head(head(b"x-ONE: 1", b"Two: 2"))
    assert end_to_end(read) == b"Host: a.example\r\nx-ONE: 1\r\nTwo: 2\r\n"
    assert read.all(b"two") == [b"2"]
    assert read.get(b"three") is None
    assert read.path == b"/a"


_TOKEN = st.from_regex(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,20}", fullmatch=True)
_VALUE = st.from_regex(rb"[\x21-\x7e\x80-\xff]([\t\x20-\x7e\x80-\xff]{0,20}[\x21-\x7e\x80-\xff])?|", fullmatch=True)
_SPECIAL = {b"host", b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"expect"}
_FIELDS = st.lists(st.tuples(_TOKEN.filter(lambda n: n.lower() not in _SPECIAL), _VALUE), max_size=6)


@given(st.from_regex(rb"/[\x21\x22\x24-\x7e]{0,30}", fullmatch=True), _FIELDS)
def test_any_good_head_is_read_as_h11_reads_it(target: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    raw = write_request_line(b"GET", target) + write_fields([(b"Host", b"a"), *fields]) + b"\r\n"
    ours = read_request_head(raw)
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(raw)
    event = theirs.next_event()
    assert isinstance(event, h11.Request)
    assert ours.fields == [(bytes(name), bytes(value)) for name, value in event.headers]
    assert ours.target == bytes(event.target) == target


_NOISE = st.lists(
    st.sampled_from(
        [
            *(b"GET", b"POST", b" ", b"  ", b"/", b"HTTP/1.1", b"HTTP/1.0", b"\r\n", b"\n", b"\r", b"\t", b":", b"\0"),
            *(b"Host: a", b"Content-Length: 3", b"Transfer-Encoding: chunked", b"chunked", b"X", b"\x0b", b"\xa0"),
        ]
    ),
    max_size=14,
)


@given(_NOISE)
def test_what_we_accept_of_noise_h11_accepts_with_our_reading(pieces: list[bytes]) -> None:
    raw = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(pieces)
    raw = raw[: head_end(raw)] if head_end(raw) > 0 else raw + b"\r\n\r\n"
    raw = raw[: head_end(raw)]
    try:
        ours = read_request_head(raw)
        framing = request_framing(ours)
    except BadRequest:
        return
    theirs = h11.Connection(h11.SERVER)
    theirs.receive_data(raw)
    event = theirs.next_event()
    assert isinstance(event, h11.Request), raw
    assert ours.fields == [(bytes(name), bytes(value)) for name, value in event.headers]
    assert framing.length == int(ours.get(b"content-length") or 0)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for noise in (data + b"\r\n\r\n", b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"):
        raw = noise[: head_end(noise)]
        with contextlib.suppress(BadRequest):
            read_request_head(raw)
        with contextlib.suppress(BadResponse):
            read_response_head(raw)


def test_the_end_of_a_head() -> None:
    raw = head(b"X-A: b")
    assert head_end(raw + b"more\r\n\r\n") == len(raw)
    assert all(head_end(raw[:cut]) == -1 for cut in range(len(raw)))
    assert not any(never_ends(raw[:cut]) for cut in range(len(raw)))


@pytest.mark.parametrize(
    "raw",
    [
        b"\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nX: y\n\n",
        b"GET / HTTP/1.1\r\nX: y\n\r\n",
    ],
)
def test_a_head_with_bare_line_feeds_is_known_not_to_end(raw: bytes) -> None:
    assert never_ends(raw)


# Answers.


def answer(*lines: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([line, *lines, b"", b""])


BAD_ANSWERS = {
    "length with chunked": answer(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "two lengths": answer(b"Content-Length: 3", b"Content-Length: 4"),
    "length +2": answer(b"Content-Length: +2"),
    "gzip, chunked": answer(b"Transfer-Encoding: gzip, chunked"),
    "identity": answer(b"Transfer-Encoding: identity"),
    "chunked in 1.0": answer(b"Transfer-Encoding: chunked", line=b"HTTP/1.0 200 OK"),
    "a folded line": answer(b"X-A: b", b" c"),
    "bare CR": answer(b"X-A: b\rc"),
    "bare LF": answer(b"X-A: b\nX-B: c"),
    "NUL": answer(b"X-A: b\0"),
    "a blank before the colon": answer(b"X-A : b"),
    "no colon": answer(b"X-A"),
    "version 2": answer(line=b"HTTP/2 200 OK"),
    "version 1.2": answer(line=b"HTTP/1.2 200 OK"),
    "ICY": answer(line=b"ICY 200 OK"),
    "two blanks": answer(line=b"HTTP/1.1  200 OK"),
    "no status": answer(line=b"HTTP/1.1"),
    "a status of two digits": answer(line=b"HTTP/1.1 20 OK"),
    "a status of four digits": answer(line=b"HTTP/1.1 2000 OK"),
    "a status that is none": answer(line=b"HTTP/1.1 2x0 OK"),
    "a status too low": answer(line=b"HTTP/1.1 099 OK"),
}


@pytest.mark.parametrize("raw", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_the_same_strictness_holds_for_the_application(raw: bytes) -> None:
    with pytest.raises(BadResponse):
        response_framing(read_response_head(raw), b"GET")


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        (b"HTTP/1.1 200 OK", 200, b"OK"),
        (b"HTTP/1.0 404 Not Found", 404, b"Not Found"),
        (b"HTTP/1.1 200", 200, b""),
        (b"HTTP/1.1 200 ", 200, b""),
        (b"HTTP/1.1 299 sch\xf6n", 299, b"sch\xf6n"),
        (b"HTTP/1.1 103 Early Hints", 103, b"Early Hints"),
        (b"HTTP/1.1 999 odd", 999, b"odd"),
    ],
)
def test_status_lines(line: bytes, status: int, reason: bytes) -> None:
    read = read_response_head(answer(b"X-A: b", b"Set-Cookie: a=b", b"Set-Cookie: c=d", line=line))
    assert (read.status, read.reason) == (status, reason)
    assert read.all(b"set-cookie") == [b"a=b", b"c=d"]
    assert read.get(b"x-a") == b"b"
    assert read.get(b"x-b") is None
    switching = read_response_head(answer(b"Connection: upgrade", b"Upgrade: x", line=b"HTTP/1.1 101 Switching"))
    assert (switching.status, switching.reason) == (101, b"Switching")
    assert re.fullmatch(rb"HTTP/1\.1 %d .*\r\n" % status, write_status_line(read.status, read.reason))
