"""Pages are recorded only with the visitor's consent, where the settings ask for it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.http1.heads import RequestHead
from lbcompanion.node.capture.consent import Consent
from lbcompanion.settings import CaptureTable
from tests.support.in_memory_node import PAGE, InMemoryNode, without_tag

COOKIE = CaptureTable(consent_cookie="consent")
LIST = CaptureTable(consent_cookie="consent", consent_values=("yes", "*statistics:true*"))
SIGNALS = CaptureTable(respect_gpc=True, respect_dnt=True)


@pytest.mark.parametrize(
    ("capture", "fields", "reason"),
    [
        (COOKIE, (), "no consent"),
        (COOKIE, (b"Cookie: a=b",), "no consent"),
        (COOKIE, (b"Cookie: consent",), "no consent"),
        (COOKIE, (b"Cookie: consent=",), "no consent"),
        (COOKIE, (b'Cookie: consent=""',), "no consent"),
        (COOKIE, (b"Cookie: xconsent=1; consentx=1; a=consent=1",), "no consent"),
        (COOKIE, (b"Cookie: Consent=1",), "no consent"),
        (COOKIE, (b"Cookie: consent=1",), ""),
        (COOKIE, (b"Cookie: a=b", b"Cookie: c=d;\tconsent = 1 "), ""),
        (COOKIE, (b"Cookie: consent=1; WRUID=0",), "visitor is not recorded"),
        (COOKIE, (b"Cookie: consent=1; consent=",), "no consent"),
        (LIST, (b"Cookie: consent=yes",), ""),
        (LIST, (b'Cookie: consent="yes"',), ""),
        (LIST, (b"Cookie: consent=%79es",), ""),
        (LIST, (b"Cookie: consent=no",), "no consent"),
        (LIST, (b"Cookie: consent=yes!",), "no consent"),
        (LIST, (b"Cookie: consent=YES",), "no consent"),
        (LIST, (b"Cookie: consent=yes; consent=no",), "no consent"),
        (LIST, (b"Cookie: consent=no; consent=yes",), "no consent"),
        (LIST, (b"Cookie: consent=yes", b"Cookie: consent=no"), "no consent"),
        (LIST, (b"Cookie: consent={necessary:true%2Cstatistics:true%2Cmarketing:false}",), ""),
        (LIST, (b"Cookie: consent={necessary:true%2Cstatistics:false}",), "no consent"),
        (LIST, (b"Cookie: consent=" + b"a" * 4096 + b"statistics:true",), "no consent"),
        (SIGNALS, (), ""),
        (SIGNALS, (b"Sec-GPC: 1",), "Sec-GPC"),
        (SIGNALS, (b"sec-gpc:1 ", b"DNT: 1"), "Sec-GPC"),
        (SIGNALS, (b"Sec-GPC: 0", b"Sec-GPC: 1"), "Sec-GPC"),
        (SIGNALS, (b"Sec-GPC: 0, 1",), "Sec-GPC"),
        (SIGNALS, (b"Sec-GPC: 0", b"DNT: 0"), ""),
        (SIGNALS, (b"DNT: 1",), "DNT"),
        (CaptureTable(respect_gpc=True), (b"DNT: 1",), ""),
        (CaptureTable(respect_dnt=True), (b"Sec-GPC: 1",), ""),
        (CaptureTable(consent_cookie="consent", respect_gpc=True), (b"Cookie: consent=1", b"Sec-GPC: 1"), "Sec-GPC"),
        (CaptureTable(), (b"Sec-GPC: 1", b"DNT: 1"), ""),
    ],
)
def test_page_and_script_need_the_visitors_consent(
    capture: CaptureTable, fields: tuple[bytes, ...], reason: str
) -> None:
    node = InMemoryNode(capture=capture)
    response = node.get(b"/", *fields)
    assert without_tag(response.body) == PAGE
    assert (response.body == PAGE) is bool(reason)
    assert len(node.captured) == (not reason)
    assert dict(node.counters.not_captured) == ({reason: 1} if reason else {})


def test_a_forced_page_needs_consent_too() -> None:
    node = InMemoryNode(capture=CaptureTable(consent_cookie="consent", force_parameter="lbc=record"))
    assert node.get(b"/?lbc=record").body == PAGE
    assert not node.captured


def test_without_consent_a_page_with_the_script_is_not_confirmed() -> None:
    node = InMemoryNode(capture=COOKIE)
    conditional = b'If-None-Match: W/"v1-lbcs"'
    node.get(b"/", conditional)
    node.get(b"/", conditional, b"Cookie: consent=1")
    refused, given_again = node.application.received_requests
    assert refused.get(b"if-none-match") is None
    assert given_again.get(b"if-none-match") == b'"v1"'


@given(
    st.lists(st.text("ab*", max_size=5).filter(bool), min_size=1, max_size=3),
    st.text("ab", max_size=8),
)
def test_a_star_stands_for_any_characters(patterns: list[str], value: str) -> None:
    consent = Consent(CaptureTable(consent_cookie="c", consent_values=tuple(patterns)))
    head = RequestHead.from_fields(b"GET", b"/", 11, [(b"cookie", b"c=" + value.encode())])
    assert consent.is_given(head) is any(_matches(pattern, value) for pattern in patterns)


def _matches(pattern: str, text: str) -> bool:
    """The definition, character by character."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(_matches(pattern[1:], text[start:]) for start in range(len(text) + 1))
    return text[:1] == pattern[0] and _matches(pattern[1:], text[1:])
