"""Policies made to allow the recorder script, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.csp import InsertedScripts, ScriptVerdict, evaluate, inline_allowed, parse
from lbcompanion.html.csp_adapt import adapt

URL = "https://www.example.com/_lbc/fetch-from.js?v=1"


SCRIPT = "https://www.example.com/_lbc/fetch-from.js"
NOTICE = "https://www.example.com/_lbc/notice"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # What allows all stays byte for byte.
        ("", ""),
        ("script-src 'self'", "script-src 'self'"),
        ("img-src *;  script-src  'self' ;", "img-src *;  script-src  'self' ;"),
        ("script-src 'nonce-abc'", "script-src 'nonce-abc'"),
        ("script-src 'strict-dynamic' 'nonce-abc'", "script-src 'strict-dynamic' 'nonce-abc'"),
        # The directive that decides gets the address.
        ("script-src 'none'", f"script-src {SCRIPT}"),
        ("Script-Src 'NONE'; img-src x", f"Script-Src {SCRIPT}; img-src x"),
        ("script-src", f"script-src {SCRIPT}"),
        ("script-src https://cdn.test", f"script-src https://cdn.test {SCRIPT}"),
        ("script-src 'unsafe-inline'", f"script-src 'unsafe-inline' {SCRIPT}"),
        ("script-src 'sha256-AAAA'", f"script-src 'sha256-AAAA' {SCRIPT}"),
        ("script-src-elem a.test; script-src 'self'", f"script-src-elem a.test {SCRIPT}; script-src 'self'"),
        # What falls back to default-src gets a directive of its own, as wide as that was.
        ("default-src 'none'", f"default-src 'none'; script-src {SCRIPT}; connect-src {NOTICE}"),
        ("default-src a.test;", f"default-src a.test; script-src a.test {SCRIPT}; connect-src a.test {NOTICE}"),
        ("default-src 'self'; connect-src b.test", f"default-src 'self'; connect-src b.test {NOTICE}"),
        ("default-src 'none'; script-src 'self'", f"default-src 'none'; script-src 'self'; connect-src {NOTICE}"),
        # The script needs its notice.
        ("connect-src 'none'", f"connect-src {NOTICE}"),
        ("connect-src /x", f"connect-src /x {NOTICE}"),
        # Several policies, each for itself.
        ("script-src 'self', script-src a.test", f"script-src 'self', script-src a.test {SCRIPT}"),
        ("script-src 'nonce-a', script-src 'nonce-b'", f"script-src 'nonce-a' {SCRIPT}, script-src 'nonce-b' {SCRIPT}"),
        ("script-src 'nonce-a', script-src 'strict-dynamic' 'nonce-b'",
         f"script-src 'nonce-a' {SCRIPT}, script-src 'strict-dynamic' 'nonce-b'"),
        ("script-src 'nonce-a', script-src 'nonce-a' x", "script-src 'nonce-a', script-src 'nonce-a' x"),
        # Cannot be.
        ("sandbox", None),
        ("script-src 'strict-dynamic'", None),
        ("script-src 'strict-dynamic' 'sha256-AAAA' 'self'", None),
        ("script-src 'strict-dynamic' 'nonce-a', script-src 'strict-dynamic' 'nonce-b'", None),
    ],
)  # fmt: skip
def test_adapted(before: str, after: str | None) -> None:
    made = adapt([before.encode()], URL)
    assert made == (None if after is None else [after.encode()])
    if made is not None:
        assert evaluate(made, URL).allowed
        assert nonces_in(made) == nonces_in([before.encode()])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("script-src 'unsafe-inline' a.test", f"script-src 'unsafe-inline' a.test {SCRIPT}"),
        ("script-src 'self' 'nonce-a'", "script-src 'self' 'nonce-a'"),
        ("script-src 'self'", None),
        ("script-src 'unsafe-inline' 'sha256-AAAA' 'self'", None),
    ],
)
def test_adapted_with_an_inline_snippet(before: str, after: str | None) -> None:
    assert adapt([before.encode()], URL, inline=True) == (None if after is None else [after.encode()])


ONE, TWO = "'sha256-1111'", "'sha256-2+/2='"
LINES = InsertedScripts(external=False, inline=True, hashes=(ONE, TWO), carries_nonce=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # A policy that lives on 'unsafe-inline' is given no hash; hashes are of no use to a policy that has them.
        ("script-src 'unsafe-inline' 'self'", "script-src 'unsafe-inline' 'self'"),
        ("script-src 'unsafe-inline' a.test", f"script-src 'unsafe-inline' a.test {SCRIPT}"),
        (f"script-src 'self' {ONE} {TWO}", f"script-src 'self' {ONE} {TWO}"),
        ("script-src 'self' 'SHA256-1111' 'sha256-2-_2='", "script-src 'self' 'SHA256-1111' 'sha256-2-_2='"),
        # Elsewhere they are added, each where it lacks.
        ("script-src 'self'", f"script-src 'self' {ONE} {TWO}"),
        (f"script-src 'self' {TWO}", f"script-src 'self' {TWO} {ONE}"),
        ("script-src 'none'", f"script-src {ONE} {TWO} {SCRIPT}"),
        (
            "script-src 'unsafe-inline' 'sha256-AAAA' 'self'",
            f"script-src 'unsafe-inline' 'sha256-AAAA' 'self' {ONE} {TWO}",
        ),
        ("script-src 'unsafe-inline' 'nonce-a' 'self'", f"script-src 'unsafe-inline' 'nonce-a' 'self' {ONE} {TWO}"),
        ("script-src-elem 'self'; script-src 'none'", f"script-src-elem 'self' {ONE} {TWO}; script-src 'none'"),
        ("default-src 'none'", f"default-src 'none'; script-src {ONE} {TWO} {SCRIPT}; connect-src {NOTICE}"),
        # What they load needs no address there.
        ("script-src 'strict-dynamic'", f"script-src 'strict-dynamic' {ONE} {TWO}"),
        ("script-src 'strict-dynamic' 'nonce-a'", f"script-src 'strict-dynamic' 'nonce-a' {ONE} {TWO}"),
        (
            "script-src 'self', script-src 'unsafe-inline'",
            f"script-src 'self' {ONE} {TWO}, script-src 'unsafe-inline' {SCRIPT}",
        ),
        ("sandbox", None),
    ],
)
def test_adapted_by_hashes(before: str, after: str | None) -> None:
    made = adapt([before.encode()], URL, inserted=LINES)
    assert made == (None if after is None else [after.encode()])
    assert evaluate([before], URL, inserted=LINES).allowed == (before == after)
    if made is not None:
        assert evaluate(made, URL, inserted=LINES) == ScriptVerdict(True)


@pytest.mark.parametrize(
    ("policy", "inserted", "after"),
    [
        # A nonce is the first choice where it is allowed.
        ("script-src 'nonce-a'", evolve(LINES, carries_nonce=True), "script-src 'nonce-a'"),
        ("script-src 'strict-dynamic' 'nonce-a'", evolve(LINES, external=True, carries_nonce=True), None),
        # A script with an address can be helped by nothing else there.
        ("script-src 'strict-dynamic'", evolve(LINES, external=True), False),
        ("script-src 'strict-dynamic' 'nonce-a'", evolve(LINES, external=True), False),
        ("script-src 'self'", InsertedScripts(inline=True), False),
        ("script-src 'nonce-a'", InsertedScripts(carries_nonce=False), f"script-src 'nonce-a' {SCRIPT}"),
    ],
)
def test_hashes_and_nonces(policy: str, inserted: InsertedScripts, after: str | bool | None) -> None:
    made = adapt([policy.encode()], URL, inserted=inserted)
    if after is False:
        assert made is None
        assert not evaluate([policy], URL, inserted=inserted).allowed
    else:
        assert made == [(after or policy).encode()]
        assert evaluate(made, URL, inserted=inserted).allowed


@pytest.mark.parametrize("host", ["10.0.0.1", "[2001:db8::1]:8080", "a;b"])
def test_a_host_that_no_source_can_name(host: str) -> None:
    assert adapt([b"script-src x"], f"http://{host}/_lbc/fetch-from.js") == [b"script-src x 'self'"]


SOURCES = """
script-src default-src connect-src script-src-elem sandbox allow-scripts ; ; ; , 'self' 'none' 'nonce-abc'
'nonce-def' 'strict-dynamic' 'unsafe-inline' 'sha256-AAAA' https: a.test * report-uri /x www.example.com
"""
WORDS = st.sampled_from(SOURCES.split())


INSERTED = st.builds(
    InsertedScripts, st.booleans(), st.booleans(), st.sampled_from([(), (ONE,), (ONE, TWO)]), st.booleans()
)


@given(st.lists(WORDS, max_size=16), st.lists(WORDS, max_size=6), INSERTED)
def test_whatever_is_adapted_allows_and_what_was_there_stays(
    one: list[str], two: list[str], inserted: InsertedScripts
) -> None:
    before = [" ".join(one).encode(), " ".join(two).encode()]
    after = adapt(before, URL, inserted=inserted)
    if evaluate(before, URL, inserted=inserted).allowed:
        assert after == before
    if after is None:
        return
    assert evaluate(after, URL, inserted=inserted).allowed
    assert nonces_in(after) == nonces_in(before)
    # Nothing but the two addresses is new, in any directive.
    for old, new in zip(
        (p for v in before for p in parse(v.decode())), (p for v in after for p in parse(v.decode())), strict=True
    ):
        for name in new:
            basis = old.get(name, old.get("default-src", ()))
            assert set(new[name]) <= {*basis, SCRIPT, NOTICE, *inserted.hashes}
            if ONE in new[name] and ONE not in basis:
                assert not inline_allowed(basis, inserted.hashes)
            assert {word for word in basis if word.lower() != "'none'"} <= set(new[name])


def nonces_in(values: Iterable[bytes]) -> set[str]:
    return {word for value in values for word in value.decode().replace(",", " ").split() if word.startswith("'nonce")}
