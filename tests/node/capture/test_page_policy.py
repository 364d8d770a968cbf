"""The compiled policy: the site's origin, and what was judged before is judged alike now."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.page_detection import RELEVANT_REQUEST_FIELDS, RELEVANT_RESPONSE_FIELDS, Eligibility, detect_page
from lbcompanion.http1.field_lines import FRAGMENT_HINT, REQUEST_FIELDS, RESPONSE_FIELDS
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.node.capture import page_policy
from tests.support.in_memory_node import InMemoryNode

PROXY = (ip_network("192.0.2.0/24"), ip_network("::1/128"))
#: Values that change what some field says, and some that do not.
VALUES = [
    *(b"document", b"empty", b"image", b"navigate", b"cors", b"no-cache", b"no-transform", b"text/html"),
    *(b"text/html; charset=utf-16", b"application/xhtml+xml", b"text/plain", b"attachment", b"prefetch"),
    *(b"XMLHttpRequest", b"true", b"a=b", b"gzip"),
]


def request(fields: Iterable[Field], method: bytes = b"GET") -> RequestHead:
    return RequestHead.from_fields(method, b"/", 11, [(b"host", b"a.example"), *fields])


def response(fields: Iterable[Field], status: int = 200) -> ResponseHead:
    return ResponseHead.from_fields(11, status, b"", fields)


@pytest.mark.parametrize(
    ("of_request", "name"),
    [(True, name) for name in sorted(RELEVANT_REQUEST_FIELDS)]
    + [(False, name) for name in sorted(RELEVANT_RESPONSE_FIELDS)],
)
def test_each_field_that_is_read_is_looked_at(of_request: bool, name: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cached result for heads with one value of a field is not used for heads with another."""
    companion = InMemoryNode()
    read: list[bytes] = []

    def spy(asked: Iterable[Field], status: int, answered: Iterable[Field], method: bytes) -> Eligibility:
        read.append(dict(asked if of_request else answered).get(name, b""))
        return detect_page(asked, status, answered, method)

    monkeypatch.setattr(page_policy, "detect_page", spy)
    html = [] if name == b"content-type" else [(b"content-type", b"text/html")]
    for value in (b"one", b"other"):
        field = [(name, value)]
        companion.policy.eligibility(
            request(field if of_request else []), response([*html, *([] if of_request else field)])
        )
    assert read == [b"one", b"other"]


def fields(table: dict[bytes, int], read: frozenset[bytes]) -> st.SearchStrategy[list[Field]]:
    """Fields of which some are read; without those that keep a head from being looked up at all."""
    names = [name for name in sorted(read) if not table[name] & FRAGMENT_HINT]
    return st.lists(st.tuples(st.sampled_from([*names, b"connection"]), st.sampled_from(VALUES)), max_size=2)


WARM = InMemoryNode()


@given(
    fields(REQUEST_FIELDS, RELEVANT_REQUEST_FIELDS),
    fields(RESPONSE_FIELDS, RELEVANT_RESPONSE_FIELDS),
    st.sampled_from([200, 204, 404]),
    st.sampled_from([b"GET", b"HEAD"]),
)
def test_what_is_kept_is_right(asked: list[Field], answered: list[Field], status: int, method: bytes) -> None:
    """One policy judges all of these heads: a field that its key lacked would show."""
    said = WARM.policy.eligibility(
        request(asked, method), response([(b"content-type", b"text/html"), *answered], status)
    )
    html = [(b"content-type", b"text/html"), *answered]
    assert said == detect_page([(b"host", b"a.example"), *asked], status, html)


@pytest.mark.parametrize(
    ("node", "fields", "origin"),
    [
        ({}, (), "http://www.example.com"),
        ({}, (b"X-Forwarded-Proto: https", b"X-Forwarded-Host: other"), "http://www.example.com"),
        ({"trusted_proxies": PROXY}, (b"X-Forwarded-Proto: https",), "https://www.example.com"),
        ({"trusted_proxies": PROXY}, (b"X-Forwarded-Host: other",), "http://other"),
        ({"public_origin": "https://shop.example/"}, (), "https://shop.example"),
    ],
)
def test_the_origin(node: dict[str, object], fields: tuple[bytes, ...], origin: str) -> None:
    companion = InMemoryNode(node=node)
    companion.get(b"/a?b", *fields)
    assert companion.page.url == origin + "/a?b"
