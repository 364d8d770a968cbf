"""Where a head ends: the place of a snippet at its end, and what is held back on the way to it."""

from __future__ import annotations

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Refusal
from tests.html.cases.head_end import PAGES
from tests.support.html_fragments import BOTTOM, FRAGMENTS, TOP, page_of
from tests.support.injecting import WITH_POLICY, filled, run


@pytest.mark.parametrize("expected", PAGES)
def test_where_the_snippet_goes(expected: str) -> None:
    bottom = BOTTOM if "{B}" in expected else b""
    out, injector = run(page_of(expected), top_at_head_end=True, bottom=bottom)
    assert out == filled(expected)
    assert injector.inserted == ("{T}" in expected)
    assert (injector.refusal is None) == injector.inserted


@pytest.mark.slow
@pytest.mark.parametrize("expected", PAGES)
def test_every_single_cut_gives_the_same(expected: str) -> None:
    page = page_of(expected)
    bottom = BOTTOM if "{B}" in expected else b""
    places = range(1, len(page)) if len(page) < 300 else [*range(1, 60), *range(900, len(page), 977)]
    for cut in places:
        assert run(page, [cut], top_at_head_end=True, bottom=bottom)[0] == filled(expected), cut
    step = 1 if len(page) < 3000 else 7
    every = run(page, list(range(1, len(page), step)), top_at_head_end=True, bottom=bottom)[0]
    assert every == filled(expected)


@given(FRAGMENTS, st.data(), st.booleans(), st.booleans())
def test_any_cut_same_output_and_without_snippets_the_page(
    page: bytes, data: st.DataObject, xhtml: bool, charset_known: bool
) -> None:
    settings = {"xhtml": xhtml, "charset_known": charset_known, "top_at_head_end": True}
    whole, injector = run(page, **settings)
    cuts = data.draw(st.lists(st.integers(0, len(page)), max_size=8))
    again, other = run(page, cuts, **settings)
    assert again == whole
    assert (other.inserted, other.refusal) == (injector.inserted, injector.refusal)
    assert whole.replace(TOP, b"").replace(BOTTOM, b"") == page
    assert injector.refusal is not Refusal.FAILED


def test_the_head_flows_on() -> None:
    injector = Injector(TOP, charset_known=True, top_at_head_end=True)
    assert injector.feed(b"<!doctype html><html><he") == b"<!doctype html><html>"
    assert injector.feed(b"ad><title>x</title><met") == b"<head><title>x</title>"
    assert injector.feed(b"a http-equiv=content-security-policy content=x>") == (
        b"<meta http-equiv=content-security-policy content=x>"
    )
    assert injector.feed(b"<!-- a comment of some length") == b"<!-- a comment of"
    assert injector.feed(b" goes on --></he") == b" some length goes on -->"
    assert injector.feed(b"ad><body>first") == TOP + b"</head><body>first"
    assert injector.feed(b"second") == b"second"


@pytest.mark.parametrize("start", [b"", b"<html><head>"])
def test_a_comment_is_never_held_back(start: bytes) -> None:
    injector = Injector(TOP, charset_known=True, top_at_head_end=True)
    injector.feed(start + b"<!--")
    for _ in range(50):
        assert len(injector.feed(b"x" * 1000)) >= 988
    assert injector.feed(b"--><body>").endswith(b"-->" + TOP + b"<body>")


def test_a_tag_over_the_limit_is_forwarded_and_nothing_is_inserted() -> None:
    for start in (b"<html title='", b"<html><head><meta content='"):
        injector = Injector(TOP, charset_known=True, top_at_head_end=True, limit_bytes=50000)
        page = start + b"x" * 60000 + b"'><head></head>"
        out = b"".join(injector.feed(page[at : at + 1000]) for at in range(0, len(page), 1000)) + injector.finish()
        assert (out, injector.refusal) == (page, Refusal.UNSURE)


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"<html title='", b"<html><head><meta content='", b"<html><head><script>", b"<!--"])
def test_time_is_linear_in_the_length_of_a_token(start: bytes) -> None:
    def used(count: int) -> float:
        injector = Injector(TOP, charset_known=True, top_at_head_end=True, limit_bytes=1 << 30)
        before = process_time()
        injector.feed(start)
        for _ in range(count):
            injector.feed(b"x> " * 60)
        return process_time() - before

    used(1000)
    assert used(16000) < 8 * used(4000) + 0.1


class TestPolicies:
    PAGE = WITH_POLICY

    def asked(self, page: bytes, answer: tuple[bytes, bytes] | str) -> tuple[bytes, Injector, list[tuple[str, ...]]]:
        seen: list[tuple[str, ...]] = []

        def on_policies(policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
            seen.append(policies)
            return answer

        out, injector = run(page, bottom=b"", charset_known=True, on_policies=on_policies, top_at_head_end=True)
        return out, injector, seen

    def test_asked_with_what_the_page_says(self) -> None:
        out, injector, seen = self.asked(self.PAGE, (b"<!--N-->", b"<!--M-->"))
        assert seen == [("script-src 'nonce-abc'; img-src *",)]
        assert out == self.PAGE.replace(b"</head>", b"<!--N--></head>").replace(b"</body>", b"<!--M--></body>")
        assert injector.inserted

    def test_beyond_what_is_held_back(self) -> None:
        page = self.PAGE.replace(b"<title>", b"<!--" + b"x" * 40000 + b"--><title>")
        assert self.asked(page, "script-src")[1].refusal is Refusal.CSP

    def test_forbidden(self) -> None:
        out, injector, _ = self.asked(self.PAGE, "script-src")
        assert (out, injector.refusal, injector.directive) == (self.PAGE, Refusal.CSP, "script-src")

    @pytest.mark.parametrize(
        "page",
        [
            PAGE.replace(b"Content-Security-Policy", b"Content-Security-Policy-Report-Only"),
            PAGE.replace(b"<title>x</title>", b"<!--").replace(b"</head>", b"--></head>"),
            PAGE.replace(b"<title>x</title>", b"<template>").replace(b"</head>", b"</template></head>"),
            PAGE.replace(b"<title>x</title>", b"<noscript>").replace(b"</head>", b"</noscript></head>"),
            PAGE.replace(b"<title>x</title>", b"<script>'").replace(b"</head>", b"'</script></head>"),
            PAGE.replace(b"<title>x</title>", b"</head>"),
            PAGE.replace(b"<title>x</title>", b"<p>"),
        ],
    )
    def test_none_in_force_before_the_snippet(self, page: bytes) -> None:
        out, injector, seen = self.asked(page, "script-src")
        assert not seen
        assert injector.inserted
        assert out.count(TOP) == 1


class TestXhtml:
    START = '<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml">'

    @pytest.mark.parametrize(
        "rest",
        [
            "<head><title>x</title>{T}</head><body>y{B}</body></html>",
            "<head><title/><script/><meta name='a'/>{T}</head><body>{B}</body></html>",
            "<head><script><![CDATA[ </head> ]]></script>{T}</head><body>{B}</body></html>",
            "<head><!-- </head> --><?x </head> ?>{T}</head><body>{B}</body></html>",
            "<head><title>a<b>c</b></title><x:y><head></head></x:y>{T}</head><body>{B}</body></html>",
            '<head><meta content="</head>"/>{T}</head><body>{B}</body></html>',
            "<head>{T}</head><!-- nothing after it -->",
            "<head/><body></body></html>",
            "<head></HEAD></head><body></body></html>",
            "<head></title></head><body></body></html>",
            "<head><title></head><body></body></html>",
        ],
    )
    def test_it_stays_well_formed(self, rest: str) -> None:
        expected = self.START + rest
        page = page_of(expected)
        for cuts in ([], list(range(1, len(page)))):
            assert run(page, cuts, xhtml=True, top_at_head_end=True)[0] == filled(expected)

    def test_its_policies(self) -> None:
        meta = '<meta http-equiv="Content-Security-Policy" content="script-src &apos;none&apos;"/>'
        page = (self.START + f"<head>{meta}<title>x</title></head><body/></html>").encode()
        out, injector = run(page, xhtml=True, top_at_head_end=True, on_policies=lambda policies: policies[0])
        assert (out, injector.refusal, injector.directive) == (page, Refusal.CSP, "script-src 'none'")
