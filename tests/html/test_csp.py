"""Whether policies allow the recorder script."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.csp import MAX_POLICY_CHARS, evaluate, parse
from lbcompanion.html.csp_adapt import adapt

URL = "https://www.example.com/_lbc/fetch-from.js?v=1"


@pytest.mark.parametrize(
    "policy",
    [
        "",
        "img-src 'none'",
        "default-src 'self'",
        "default-src *",
        "default-src https:",
        "default-src http:",
        "default-src 'none'; script-src 'self'; connect-src 'self'",
        "default-src 'none'; script-src 'none'; script-src-elem 'self'; connect-src 'self'",
        "script-src 'self' 'unsafe-inline'",
        "script-src 'self' 'sha256-AAAA='",
        "script-src www.example.com",
        "script-src WWW.Example.COM:443",
        "script-src https://www.example.com",
        "script-src http://www.example.com:80",
        "script-src *.example.com:*",
        "script-src https://www.example.com/_lbc/",
        "script-src https://www.example.com/_lbc/fetch-from.js",
        "SCRIPT-SRC 'SELF'",
        "script-src 'self'; script-src 'none'",
        "sandbox allow-scripts allow-forms",
        "require-trusted-types-for 'script'; trusted-types 'none'",
        "script-src 'self' 'nonce-abc'",
        "upgrade-insecure-requests;; ;",
    ],
)
def test_allowed_without_a_nonce(policy: str) -> None:
    verdict = evaluate([policy], URL)
    assert (verdict.allowed, verdict.nonce, verdict.directive) == (True, None, "")


@pytest.mark.parametrize(
    ("policies", "nonce"),
    [
        (["script-src 'nonce-abc+/=='"], "abc+/=="),
        (["script-src 'strict-dynamic' 'self' 'nonce-abc' https:"], "abc"),
        (["script-src 'nonce-abc'", "script-src 'self'"], "abc"),
        (["script-src 'nonce-abc' 'nonce-xyz', script-src 'nonce-xyz'"], "xyz"),
        (["default-src 'nonce-abc'; connect-src 'self'"], "abc"),
    ],
)
def test_allowed_with_the_pages_own(policies: list[str], nonce: str) -> None:
    verdict = evaluate([policy.encode() for policy in policies], URL)
    assert (verdict.allowed, verdict.nonce) == (True, nonce)


@pytest.mark.parametrize(
    ("policies", "directive"),
    [
        (["script-src 'none'"], "script-src"),
        (["script-src"], "script-src"),
        (["script-src 'unsafe-inline'"], "script-src"),
        (["script-src 'strict-dynamic' 'self'"], "script-src"),
        (["script-src 'strict-dynamic' 'sha256-AAAA='"], "script-src"),
        (["script-src 'self'; script-src-elem https://cdn.example.net"], "script-src-elem"),
        (["script-src example.com"], "script-src"),
        (["script-src *.www.example.com"], "script-src"),
        (["script-src www.example.com:8443"], "script-src"),
        (["script-src https://www.example.com/static/"], "script-src"),
        (["script-src ws:"], "script-src"),
        (["script-src 'self'; connect-src 'none'"], "connect-src"),
        (["default-src 'none'"], "default-src"),
        (["default-src 'none'; script-src 'self'"], "default-src"),
        (["script-src 'self'", "script-src 'none'"], "script-src"),
        (["script-src 'nonce-abc'", "script-src 'nonce-xyz'"], "script-src"),
        (["script-src 'nonce-a\"b'"], "script-src"),
        (["sandbox"], "sandbox"),
    ],
)
def test_forbidden(policies: list[str], directive: str) -> None:
    verdict = evaluate(policies, URL)
    assert (verdict.allowed, verdict.nonce, verdict.directive) == (False, None, directive)


@pytest.mark.parametrize(
    ("policy", "allowed", "nonce"),
    [
        ("script-src 'self'", False, None),
        ("script-src 'self' 'unsafe-inline'", True, None),
        ("script-src 'self' 'unsafe-inline' 'nonce-abc'", True, "abc"),
        ("script-src 'self' 'unsafe-inline' 'sha256-AAAA='", False, None),
    ],
)
def test_inline_scripts(policy: str, allowed: bool, nonce: str | None) -> None:
    verdict = evaluate([policy], URL, inline=True)
    assert (verdict.allowed, verdict.nonce) == (allowed, nonce)


@pytest.mark.parametrize("unit", ["a,", "a{},", "script-src *,", "default-src {}.a *;", "'nonce-a{}' "])
def test_very_long_policies_are_not_read(unit: str) -> None:
    text = "".join(unit.format(number) for number in range(MAX_POLICY_CHARS))
    start = 12 - len("script-src ")
    longest = "script-src " + text[: MAX_POLICY_CHARS - 12 - start]
    assert "more than" not in evaluate([longest], URL).directive
    for values in ([text], [longest, text[:20]]):
        verdict = evaluate(values, URL)
        assert (verdict.allowed, verdict.directive) == (False, "more than 16384 bytes")
        assert adapt([value.encode() for value in values], URL) is None


def test_repeated_policies_are_read_once() -> None:
    assert len(parse(",".join(["default-src *"] * 100 + ["img-src a"]))) == 2


def test_plain_http() -> None:
    url = "http://127.0.0.1:8080/_lbc/fetch-from.js"
    assert evaluate(["script-src http://127.0.0.1:8080"], url).allowed
    assert not evaluate(["script-src https:"], url).allowed
    assert not evaluate(["script-src 127.0.0.1"], url).allowed


@given(st.lists(st.text(max_size=60) | st.text("script-src connect default 'self'nonce-*:/;,.", max_size=80)))
def test_total(policies: list[str]) -> None:
    verdict = evaluate(policies, URL)
    assert verdict.allowed or (verdict.directive and verdict.nonce is None)
