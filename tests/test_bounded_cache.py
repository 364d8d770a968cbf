"""A cache with keys of peers stays within its bounds, whatever they send."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.bounded_cache import BoundedCache, size_of
from lbcompanion.http1.heads import RequestHead, ResponseHead, read_request_head, use_python_reader
from lbcompanion.node.proxy.client_info import TrustedProxies
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.reader import CookieReader
from tests.support.in_memory_node import InMemoryNode

LARGE_BYTES = 58_000


@pytest.mark.slow
def test_large_keys_leave_next_to_nothing() -> None:
    cache: BoundedCache[bytes, int] = BoundedCache()
    tracemalloc.start()
    try:
        for number in range(2048):
            cache.put(b"%d" % number + b"x" * LARGE_BYTES, number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000
    assert len(cache) == 0


def test_what_is_put_is_found() -> None:
    cache: BoundedCache[str, str] = BoundedCache()
    assert (cache.get("a"), cache.put("a", "1"), cache.get("a"), len(cache)) == (None, "1", "1", 1)
    assert cache.total_bytes == size_of("a") + size_of("1")


def test_a_full_cache_takes_new_entries() -> None:
    cache: BoundedCache[int, int] = BoundedCache(max_entries=3)
    for number in range(4):
        cache.put(number, number)
    assert [cache.get(number) for number in range(4)] == [None, None, None, 3]


_KEYS = st.one_of(st.binary(max_size=80), st.tuples(st.binary(max_size=40), st.text(max_size=20)))


@given(
    st.lists(st.tuples(_KEYS, st.binary(max_size=100)), max_size=60),
    st.integers(0, 12),
    st.integers(0, 2000),
    st.integers(0, 120),
)
def test_no_bound_is_ever_passed(
    entries: list[tuple[object, bytes]], max_entries: int, max_bytes: int, max_key_bytes: int
) -> None:
    cache: BoundedCache[object, bytes] = BoundedCache(
        max_entries=max(max_entries, 1), max_bytes=max_bytes, max_key_bytes=max_key_bytes
    )
    first: dict[object, bytes] = {}
    for key, value in entries:
        before = cache.get(key)
        assert cache.put(key, value) == value
        kept = cache.get(key)
        assert kept in ((None, value) if before is None else (before,))
        if size_of(key) > max_key_bytes:
            assert kept is None
        if before is None and kept is not None:
            first[key] = value
        assert len(cache) <= max(max_entries, 1)
        held = [(one, found) for one in first if (found := cache.get(one)) is not None]
        assert cache.total_bytes == sum(size_of(one) + size_of(found) for one, found in held) <= max_bytes
        assert len(held) == len(cache)


# Where bytes of peers get into a cache.


def _large(number: int) -> bytes:
    return b"%04d" % number + b"a" * LARGE_BYTES


def _accept_encodings(rig: InMemoryNode, number: int) -> None:
    rig.policy.accept_encoding(_large(number))


def _origin(rig: InMemoryNode, number: int) -> None:
    head = RequestHead.from_fields(b"GET", b"/", 11, [(b"host", _large(number))])
    rig.policy.origin(head, trusted=False, scheme="https")


def _forwarding_lines(rig: InMemoryNode, number: int) -> None:
    rig.policy.forwarding_lines("192.0.2.1", "https", _large(number))


def _tagged(rig: InMemoryNode, number: int) -> None:
    rig.policy.script_tag("token", "https://" + _large(number).decode(), "./-/_lbc/fetch-from", None, xhtml=False)


def _usual_tag(rig: InMemoryNode, number: int) -> None:
    rig.policy.usual_tag_parts("", b"/" + _large(number) + b"/")


def _eligibility(rig: InMemoryNode, number: int) -> None:
    request = RequestHead.from_fields(b"GET", b"/", 11, [(b"host", b"a"), (b"cache-control", _large(number))])
    rig.policy.eligibility(request, ResponseHead.from_fields(11, 200, b"OK", [(b"content-type", b"text/html")]))


def _trusted(rig: InMemoryNode, number: int) -> None:
    _PROXIES.trusts(_large(number).decode())


def _hosted(rig: InMemoryNode, number: int) -> None:
    read_request_head(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % _large(number))


def _named(rig: InMemoryNode, number: int) -> None:
    read_request_head(b"GET / HTTP/1.1\r\nHost: a\r\n%b: x\r\n\r\n" % _large(number))


def _cookies(rig: InMemoryNode, number: int) -> None:
    _READER.read({_large(number).decode(): "value"})


_PROXIES = TrustedProxies(())
_READER = CookieReader(StickyTable())
_DOORS = [
    _accept_encodings,
    _origin,
    _forwarding_lines,
    _tagged,
    _usual_tag,
    _eligibility,
    _trusted,
    _hosted,
    _named,
    _cookies,
]


@pytest.mark.slow
@pytest.mark.parametrize("door", _DOORS, ids=lambda door: door.__name__.strip("_"))
def test_nothing_large_that_a_peer_sends_stays(door: Callable[[InMemoryNode, int], None]) -> None:
    rig = InMemoryNode()
    use_python_reader()
    try:
        door(rig, 0)
        tracemalloc.start()
        for number in range(1, 65):
            door(rig, number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        use_python_reader(python_only=False)
    assert held < 1_000_000
