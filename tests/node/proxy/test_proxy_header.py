"""The PROXY protocol's header: every cut gives the same result; an invalid one is refused at the first wrong byte."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.node.proxy.proxy_header import MAX_LINE, SIGNATURE, BadProxyHeader, ProxyHeader, read_proxy_header
from tests.support.proxy_headers import FOUR, NO_TLS, SIX, TLS, UNIX, v2, vector

MAPPED = ip_address("::ffff:203.0.113.9").packed + bytes(16) + struct.pack("!HH", 1, 2)
VISITOR = ("203.0.113.9", 4711)

RIGHT = [
    (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n", VISITOR, None),
    (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n", ("2001:db8::9", 4711), None),
    (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 4711 443\r\n", VISITOR, None),
    (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 0\r\n", ("255.255.255.255", 65535), None),
    (b"PROXY UNKNOWN\r\n", None, None),
    (b"PROXY UNKNOWN " + b"f" * 39 + b" " + b"f" * 39 + b" 65535 65535\r\n", None, None),
    (v2(0x11, FOUR), VISITOR, None),
    (v2(0x21, SIX), ("2001:db8::9", 4711), None),
    (v2(0x21, MAPPED), ("203.0.113.9", 1), None),
    (v2(0x11, FOUR + TLS), VISITOR, True),
    (v2(0x11, FOUR + vector(0x04, bytes(9)) + NO_TLS), VISITOR, False),
    (v2(0x21, SIX + vector(0x02, b"www.example.com") + TLS + vector(0xE0, b"")), ("2001:db8::9", 4711), True),
    (v2(0x31, UNIX), None, None),
    (v2(0x31, UNIX + TLS), None, True),
    (v2(0x00, b""), None, None),
    (v2(0x00, TLS), None, True),
    (v2(0x12, FOUR), None, None),
    (v2(0x00, b"", command=0x20), None, None),
    (v2(0x11, FOUR, command=0x20), None, None),
    (v2(0xFF, b"\xff" * 70, command=0x20), None, None),
    (v2(0x11, FOUR + vector(0x04, bytes(60000))), VISITOR, None),
]
WRONG = [
    b"G",
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01",
    b"PROXY\r\n",
    b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
    b"PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP4 ::1 ::1 1 1\r\n",
    b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n",
    b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 -1\r\n",
    b"PROXY TCP4 1.1.1.1  1.1.1.1 1 1\r\n",
    b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
    b"PROXY UNKNOWN\n",
    b"PROXY " + b"A" * (MAX_LINE - 6),
    b"\r\n\r\nG",
    SIGNATURE + b"\x11",
    SIGNATURE + b"\x22",
    SIGNATURE + b"\x31",
    v2(0x13, FOUR),
    v2(0x41, FOUR),
    v2(0x11, FOUR[:11]),
    v2(0x21, FOUR),
    v2(0x11, FOUR + b"\x04"),
    v2(0x11, FOUR + b"\x04\x00\x05abcd"),
    v2(0x11, FOUR + vector(0x20, b"\x01")),
]


@pytest.mark.parametrize(("raw", "source", "encrypted"), RIGHT)
def test_a_header_is_read_at_any_cut(raw: bytes, source: tuple[str, int] | None, encrypted: bool | None) -> None:
    cuts = range(len(raw)) if len(raw) < 1000 else [*range(50), len(raw) - 1]
    assert [cut for cut in cuts if read_proxy_header(raw[:cut]) is not None] == []
    expected = ProxyHeader(len(raw), source, encrypted)
    for rest in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\n", raw):
        assert read_proxy_header(raw + rest) == expected


@pytest.mark.parametrize("raw", WRONG)
def test_what_is_no_header_is_refused(raw: bytes) -> None:
    for rest in (b"", b"\r\nmore"):
        with pytest.raises(BadProxyHeader):
            read_proxy_header(raw + rest)


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_nothing_else_is_raised_and_more_never_unsays(tail: bytes, start: bytes) -> None:
    raw = start + tail
    verdicts = []
    for cut in range(len(raw) + 1):
        try:
            verdicts.append(read_proxy_header(raw[:cut]))
        except BadProxyHeader:
            verdicts.append("bad")  # type: ignore[arg-type]
    known = [one for one in verdicts if one is not None]
    assert all(one == known[0] for one in known)
    # The result does not change with more bytes, and no more bytes are read than a header may have.
    assert verdicts == [None] * (len(verdicts) - len(known)) + known
