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
    has_bare_lf,
    head_end,
    read_request_head,
    read_response_head,
    whole_request_head,
    write_fields,
    write_status_line,
)
from tests.support.http1_samples import ACCEPTED, BAD_ANSWERS, REFUSED, answer, head


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_what_can_be_read_in_more_than_one_way_is_refused(case: tuple[int, bytes]) -> None:
    status, raw = case
    with pytest.raises(BadRequest) as refused:
        request_framing(read_request_head(raw))
    assert refused.value.status == status


@pytest.mark.parametrize("raw", ACCEPTED.values(), ids=ACCEPTED)
def test_what_we_write_of_it_h11_reads_as_one_message_with_our_reading(raw: bytes) -> None:
    ours = read_request_head(raw)
    request_framing(ours)
    written = b"%b %b HTTP/1.1\r\n" % (ours.method, ours.target) + write_fields(
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


@pytest.mark.parametrize(
    ("target", "given", "host"),
    [
        (b"http://a.example:80/", b"a.example", b"a.example"),
        (b"http://a.example/", b"A.example:80", b"A.example:80"),
        (b"http://a.example:/", b"a.example", b"a.example"),
        (b"http://a.example:0080/", b"a.example", b"a.example"),
        (b"https://a.example:443/", b"a.example", b"a.example"),
        (b"https://a.example:80/", b"a.example", b"a.example:80"),
        (b"http://b.example:80/", b"a.example", b"b.example"),
        (b"http://[::1]:80/", b"a.example", b"[::1]"),
    ],
)
def test_the_host_of_an_absolute_form_counts(target: bytes, given: bytes, host: bytes) -> None:
    read = read_request_head(head(b"X-A: b", line=b"GET %b HTTP/1.1" % target, host=b"Host: " + given))
    assert (read.target, read.all(b"host"), read.values[b"host"]) == (b"/", [host], host)
    assert b"ost: " + host + b"\r\n" in read.forwardable
    assert read.get(b"x-a") == b"b"


@pytest.mark.parametrize(
    ("target", "method", "form"),
    [
        (b"http://a.example", b"OPTIONS", b"*"),
        (b"http://a.example/", b"OPTIONS", b"/"),
        (b"http://a.example?q", b"OPTIONS", b"/?q"),
        (b"http://a.example", b"GET", b"/"),
        (b"http://b.example", b"OPTIONS", b"*"),
    ],
)
def test_options_without_a_path_is_for_the_server(target: bytes, method: bytes, form: bytes) -> None:
    assert read_request_head(head(line=b"%b %b HTTP/1.1" % (method, target))).target == form


@given(st.binary(min_size=1, max_size=20))
def test_bytes_above_ascii_in_a_target_are_encoded(path: bytes) -> None:
    raw = head(line=b"GET /%b HTTP/1.1" % path)
    bad = any(byte <= 32 or byte == 127 for byte in path) or b"#" in path
    try:
        target = read_request_head(raw).target
    except BadRequest:
        assert bad
        return
    assert not bad
    assert re.fullmatch(rb"[\x21-\x7e]+", target)
    assert target.count(b"%") - path.count(b"%") == sum(byte > 127 for byte in path)
    assert re.sub(rb"%([89A-F][0-9A-F])", lambda m: bytes.fromhex(m[1].decode()), target) == re.sub(
        rb"%([89A-F][0-9A-F])", lambda m: bytes.fromhex(m[1].decode()), b"/" + path
    )


@pytest.mark.parametrize(
    "line",
    [b"X-Protection : 1; mode=block", b"X-Protection\t:1; mode=block", b"X-Protection \t :  1; mode=block"],
)
def test_white_space_before_the_colon_of_an_answer_is_removed(line: bytes) -> None:
    read = read_response_head(answer(b"Content-Length: 3", line, b"Content-Type : text/html"))
    assert read.fields == [
        (b"content-length", b"3"),
        (b"x-protection", b"1; mode=block"),
        (b"content-type", b"text/html"),
    ]
    assert read.names == [b"Content-Length", b"X-Protection", b"Content-Type"]
    assert read.forwardable == b"X-Protection: 1; mode=block\r\nContent-Type: text/html\r\n"
    assert read.values[b"content-type"] == b"text/html"


def test_an_answer_has_a_largest_number_of_lines() -> None:
    lines = [b"a:b"] * 50
    assert len(read_response_head(answer(*lines), 50).fields) == 50
    with pytest.raises(BadResponse):
        read_response_head(answer(*lines, b"a:b"), 50)


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


@pytest.mark.slow
@given(st.from_regex(rb"/[\x21\x22\x24-\x7e]{0,30}", fullmatch=True), _FIELDS)
def test_any_good_head_is_read_as_h11_reads_it(target: bytes, fields: list[tuple[bytes, bytes]]) -> None:
    raw = b"GET %b HTTP/1.1\r\n" % target + write_fields([(b"Host", b"a"), *fields]) + b"\r\n"
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


@given(st.lists(st.sampled_from([head(b"X-A: b"), head(b"X-A:b"), b"x: y\r\n", b"\r\n", b"\n", b"body"]), max_size=4))
def test_a_head_read_in_one_step_is_that_of_two_steps(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    whole = whole_request_head(data)
    if whole is not None:
        assert head_end(data) == len(data)
        two_steps = read_request_head(data)
        assert (whole.fields, whole.target, whole.forwardable) == (
            two_steps.fields,
            two_steps.target,
            two_steps.forwardable,
        )


def test_the_end_of_a_head() -> None:
    raw = head(b"X-A: b")
    assert head_end(raw + b"more\r\n\r\n") == len(raw)
    assert all(head_end(raw[:cut]) == -1 for cut in range(len(raw)))
    assert not any(has_bare_lf(raw[:cut]) for cut in range(len(raw)))


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
    assert has_bare_lf(raw)


# Answers.


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
