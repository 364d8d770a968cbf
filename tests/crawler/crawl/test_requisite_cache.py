from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisite_cache import FAILURE_SECONDS, CachedFile, FileKey, RequisiteCache
from lbcompanion.crawler.queue.requisite_report import Refusal
from lbcompanion.http1.freshness import StoredHead
from lbcompanion.model import MissingKind, RoutingCookie
from lbcompanion.protocol.tokens import digest_of

NOW = 1_795_468_200.0


def key(url: str = "http://www.example.com/a.css", node: str = "n1") -> FileKey:
    return FileKey("main", node, "", url)


def known(body: bytes = b"x{}", *lines: tuple[str, str], personal: bool = False) -> CachedFile:
    requisite = Requisite("http://www.example.com/a.css", "text/css", digest_of(body), body)
    return CachedFile(requisite, NOW, StoredHead(200, lines, NOW, NOW), (RoutingCookie("SRV", "n1"),), personal)


def body_of(found: CachedFile | None) -> bytes:
    assert found is not None
    assert isinstance(found.result, Requisite)
    return found.result.body


def test_nodes_share_no_entry_and_the_bytes_of_one_digest_are_kept_once() -> None:
    cache = RequisiteCache(1_000_000, 100)
    first, second = bytes(200_000), bytes(200_000)
    cache.put(key(node="n1"), known(first))
    assert cache.get(key(node="n2")) is None
    before = cache.total_bytes
    kept = cache.put(key(node="n2"), known(second))
    assert body_of(kept) is first
    assert body_of(cache.get(key(node="n2"))) is first
    assert cache.total_bytes - before < 5000
    cache.put(key(node="n2"), known(b"other"))
    assert body_of(cache.get(key(node="n1"))) is first


def test_the_entry_that_was_not_used_for_the_longest_time_is_dropped() -> None:
    cache = RequisiteCache(1_000_000, 3)
    for number in range(3):
        cache.put(key(f"/{number}"), known())
    cache.get(key("/0"))
    cache.put(key("/3"), known())
    assert [cache.get(key(f"/{number}")) is not None for number in range(4)] == [True, False, True, True]
    assert cache.evicted == 1


def test_a_file_that_takes_much_of_the_cache_is_not_kept() -> None:
    cache = RequisiteCache(100_000, 100)
    cache.put(key(), known(bytes(30_000)))
    assert len(cache) == 0
    assert cache.total_bytes == 0
    empty = RequisiteCache(0, 100)
    empty.put(key(), known())
    assert len(empty) == 0


PUTS = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from(["n1", "n2", "n3"]), st.integers(0, 5), st.booleans()), max_size=60
)


@given(PUTS, st.integers(0, 40_000), st.integers(0, 8))
def test_the_cache_is_bounded_and_its_size_is_right(
    puts: list[tuple[int, str, int, bool]], max_bytes: int, max_files: int
) -> None:
    cache = RequisiteCache(max_bytes, max_files)
    last: dict[FileKey, CachedFile] = {}
    for number, node, content, is_file in puts:
        of = key(f"/{number}", node)
        file = known(bytes([content]) * 500 * content) if is_file else CachedFile(Refusal("x", MissingKind.STATUS), NOW)
        last[of] = file
        cache.put(of, file)
        assert cache.total_bytes <= max_bytes
        assert len(cache) <= max_files
    kept = {of: found for of in last if (found := cache.get(of)) is not None}
    assert len(kept) == len(cache)
    for of, found in kept.items():
        assert found == last[of]
    bodies = {each.result.sha256: len(each.result.body) for each in kept.values() if isinstance(each.result, Requisite)}
    texts = sum(len(of.url) + each.text_bytes() for of, each in kept.items())
    assert cache.total_bytes == sum(bodies.values()) + texts


def test_the_floor_decides_first_then_the_fields() -> None:
    for lines, until in (
        ((), 300.0),
        ((("cache-control", "no-store"),), 300.0),
        ((("cache-control", "no-cache, max-age=900"),), 300.0),
        ((("cache-control", "max-age=5"),), 300.0),
        ((("cache-control", "max-age=900"),), 900.0),
        ((("cache-control", "max-age=900, no-store"),), 300.0),
    ):
        file = known(b"x", *lines)
        assert file.is_usable(NOW + until - 1, 300), lines
        assert not file.is_usable(NOW + until, 300), lines
        assert not file.is_usable(NOW - 1, 300), "the clock was set back"


def test_without_a_floor_the_fields_decide() -> None:
    assert not known().is_usable(NOW, 0)
    assert known(b"x", ("cache-control", "max-age=5")).is_usable(NOW + 4, 0)


def test_a_failure_is_remembered_for_a_short_time() -> None:
    failure = CachedFile(Refusal("timeout", MissingKind.FAILED), NOW, may_pass=True)
    assert failure.is_usable(NOW + FAILURE_SECONDS - 1, 300)
    assert not failure.is_usable(NOW + FAILURE_SECONDS, 300)
    assert not failure.is_usable(NOW, 0)
    gone = CachedFile(Refusal("status 404", MissingKind.STATUS), NOW, StoredHead(404, (), NOW, NOW))
    assert gone.is_usable(NOW + 299, 300)
    assert not gone.is_usable(NOW + 300, 300)
    assert gone.conditions() == ()


def test_a_personal_file_is_for_the_same_cookies_only() -> None:
    same, other = (RoutingCookie("SRV", "n1"),), (RoutingCookie("SRV", "n1~session"),)
    assert known(personal=True).is_for(same)
    assert not known(personal=True).is_for(other)
    assert known().is_for(other)


def test_what_may_not_be_stored_is_not_validated() -> None:
    etag = ("etag", '"a"')
    assert known(b"x", etag).conditions() == (("If-None-Match", '"a"'),)
    assert known(b"x", etag, ("cache-control", "no-store")).conditions() == ()
