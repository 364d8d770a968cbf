"""A head is held back until its policies are seen."""

from __future__ import annotations

import pytest

from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Refusal
from tests.support.html_fragments import TOP
from tests.support.injecting import WITH_POLICY, run


@pytest.mark.slow
def test_a_head_without_end_is_held_back_for_16_kib_at_most() -> None:
    injector = Injector(TOP, charset_known=True)
    line = b"<link rel=x href=y>"
    fed = passed = most = 0
    for chunk in [b"<html><head>", *[line] * 2000]:
        fed += len(chunk)
        passed += len(injector.feed(chunk))
        most = max(most, fed - passed)
    assert injector.inserted
    assert 16000 < most <= 16384


class TestPolicies:
    PAGE = WITH_POLICY

    def asked(self, page: bytes, answer: tuple[bytes, bytes] | str) -> tuple[bytes, Injector, list[tuple[str, ...]]]:
        seen: list[tuple[str, ...]] = []

        def on_policies(policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
            seen.append(policies)
            return answer

        out, injector = run(page, bottom=b"", charset_known=True, on_policies=on_policies)
        return out, injector, seen

    def test_asked_with_what_the_page_says(self) -> None:
        out, injector, seen = self.asked(self.PAGE, (b"<!--N-->", b"<!--M-->"))
        assert seen == [("script-src 'nonce-abc'; img-src *",)]
        assert out == self.PAGE.replace(b"<head>", b"<head><!--N-->").replace(b"</body>", b"<!--M--></body>")
        assert injector.inserted

    def test_forbidden(self) -> None:
        out, injector, _ = self.asked(self.PAGE, "script-src")
        assert (out, injector.refusal) == (self.PAGE, Refusal.CSP)

    @pytest.mark.parametrize(
        "page",
        [
            PAGE.replace(b"Content-Security-Policy", b"Content-Security-Policy-Report-Only"),
            PAGE.replace(b"<title>x</title>", b"<!--").replace(b"</head>", b"--></head>"),
            PAGE.replace(b"<title>x</title>", b"<template>").replace(b"</head>", b"</template></head>"),
            PAGE.replace(b"<title>x</title>", b"<script>'").replace(b"</head>", b"'</script></head>"),
            PAGE.replace(b"<title>x</title>", b"</head>"),
            PAGE.replace(b"<title>x</title>", b"<p>"),
        ],
    )
    def test_none_in_force(self, page: bytes) -> None:
        out, injector, seen = self.asked(page, "script-src")
        assert not seen
        assert injector.inserted
        assert out == page.replace(b"<head>", b"<head>" + TOP)

    def test_one_behind_a_script_that_writes_a_head(self) -> None:
        page = self.PAGE.replace(b"<title>x</title>", b"<script>write('</head><body>')</script><!-- </head> -->")
        assert self.asked(page, "script-src")[1].refusal is Refusal.CSP
