"""Hypothesis strategies, named after what they make. Collections are small: three nodes show what ten do."""

from __future__ import annotations

import itertools
import string
from base64 import b64encode

from hypothesis import strategies as st

from lbcompanion.model import Notice, NoticeSource, RoutingCookie
from lbcompanion.protocol.tokens import RANDOM_BYTES, Tokens

#: The farm's secret in tests.
SECRET = b"a farm's secret, for tests only"

_NODE_CHARS = string.ascii_letters + string.digits + "_-"
_TOKEN_CHARS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
_VALUE_CHARS = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != ";")
_MICROSECONDS = 4102444800 * 10**6  # the year 2100


def node_names() -> st.SearchStrategy[str]:
    """Names of nodes, as a configuration may have them."""
    return st.text(_NODE_CHARS, min_size=1, max_size=32)


def tokens(secret: bytes = SECRET) -> st.SearchStrategy[str]:
    """Tokens of one farm."""

    def mint(owner: str, random: bytes) -> str:
        return Tokens(secret, owner, lambda count: (random * count)[:count]).mint()

    return st.builds(mint, node_names(), st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES))


def cookie_names() -> st.SearchStrategy[str]:
    """Names of cookies; those of sessions and balancers among them."""
    known = ["SRV", "SERVERID", "ROUTEID", "JSESSIONID", "PHPSESSID", "lb", "route", "AWSALB", "_1a2b3", "csrftoken"]
    return st.sampled_from(known) | st.text(_TOKEN_CHARS, min_size=1, max_size=12)


def node_texts() -> st.SearchStrategy[str]:
    """A balancer's text for a node: a name, an address, a URL."""
    ports = st.integers(1, 65535)
    addresses = st.builds("{}:{}".format, st.ip_addresses(v=4), ports)
    return node_names() | addresses | addresses.map("http://{}".format)


def cookie_values() -> st.SearchStrategy[str]:
    """Values of cookies as balancers and applications write them, and any other."""
    words = st.text(_VALUE_CHARS, max_size=24)
    hexes = (
        st.binary(min_size=8, max_size=8) | st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32)
    )
    return st.one_of(
        words,
        node_texts(),
        hexes.map(bytes.hex),
        st.builds("{}~{}".format, node_names(), words),
        st.builds("{}.{}".format, words, node_names()),
        st.builds("{}|Z3SFg|Z3SFg".format, node_names()),
        node_texts().map(lambda text: b64encode(b"\n" + bytes([len(text)]) + text.encode()).decode()),
    )


def cookies() -> st.SearchStrategy[dict[str, str]]:
    """Parsed ``Cookie`` header fields."""
    return st.dictionaries(cookie_names(), cookie_values(), max_size=6)


def routing_cookies() -> st.SearchStrategy[RoutingCookie]:
    """Cookies that may be sent."""
    return st.builds(RoutingCookie, cookie_names(), st.text(_VALUE_CHARS, max_size=24))


def cookie_headers() -> st.SearchStrategy[str]:
    """Values of ``Cookie`` header fields, well-formed and malformed."""
    pairs = st.builds("{}={}".format, cookie_names(), cookie_values())
    odd = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=12)
    return st.lists(pairs | odd, max_size=6).flatmap(
        lambda pieces: st.sampled_from(["; ", ";", " ; "]).map(lambda between: between.join(pieces))
    )


def times() -> st.SearchStrategy[float]:
    """Seconds since the epoch, with the microsecond resolution of the wire format."""
    return st.integers(0, _MICROSECONDS).map(lambda count: count / 10**6)


def urls() -> st.SearchStrategy[str]:
    """URLs of pages."""
    path = st.text(string.ascii_letters + string.digits + "-._~/%?=&#", max_size=20)
    return st.builds("{}://{}/{}".format, st.sampled_from(["http", "https"]), st.just("www.example.com"), path)


def notices(secret: bytes = SECRET) -> st.SearchStrategy[Notice]:
    """Notices, as a node sends them."""
    return st.builds(
        Notice,
        token=tokens(secret),
        url=urls(),
        cookies=st.dictionaries(cookie_names(), st.text(_VALUE_CHARS, max_size=24), max_size=3),
        viewed_at=times(),
        noticed_at=times(),
        page_url=st.just("") | urls(),
        source=st.sampled_from(NoticeSource),
    )


def cuts(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """``data`` split into non-empty pieces, as a network might deliver it."""
    if len(data) < 2:
        return st.just([data] if data else [])
    places = st.sets(st.integers(1, len(data) - 1), max_size=8)

    def at(chosen: set[int]) -> list[bytes]:
        edges = [0, *sorted(chosen), len(data)]
        return [data[start:end] for start, end in itertools.pairwise(edges)]

    return places.map(at)
