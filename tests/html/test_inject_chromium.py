"""Where the snippets go, judged by a real browser's parser: but for them, the document is the same."""

from __future__ import annotations

from typing import Any

import pytest

from lbcompanion.html.csp import InsertedScripts, evaluate
from lbcompanion.html.csp_adapt import adapt
from lbcompanion.html.inject import Injector
from lbcompanion.html.snippets import Snippet, inline_hashes
from tests.html.cases import head_end
from tests.html.cases.position import PAGES
from tests.support.browser import TAG, Site
from tests.support.html_corpus import documents
from tests.support.html_fragments import page_of

pytestmark = pytest.mark.browser

PLACES = pytest.mark.parametrize("top_at_head_end", [False, True], ids=["head's start", "head's end"])
TOP = '<script type="x" data-lbc-token="t">top</script>'
BOTTOM = '<script type="x">bottom</script>'

COMPARE = """pages => pages.map(([before, after]) => {
    const [plain, changed] = [before, after].map(text => new DOMParser().parseFromString(text, "text/html"));
    const ours = [...changed.querySelectorAll("script[type=x]")];
    const texts = ours.map(one => one.textContent);
    const inHead = ours.length > 0 && ours[0].parentElement === changed.head;
    ours.forEach(one => one.remove());
    [plain, changed].forEach(one => one.normalize());
    const same = plain.documentElement.outerHTML === changed.documentElement.outerHTML;
    return [texts, inHead, same && plain.compatMode === changed.compatMode];
})"""


def injected(text: str, top_at_head_end: bool) -> tuple[str, bool, bool]:
    """The page with snippets, and whether the top and the bottom one were inserted."""
    injector = Injector(TOP.encode(), BOTTOM.encode(), top_at_head_end=top_at_head_end)
    data = text.encode()
    out = (injector.feed(data) + injector.finish()).decode()
    return out, TOP in out, BOTTOM in out


@PLACES
def test_the_document_is_the_same(top_at_head_end: bool, site: Site, page: Any) -> None:
    page.goto(site.add("/", head=""))
    # The parser gets text, not bytes: a byte order mark would be a letter to it.
    # To DOMParser no scripts run, and what <noscript> holds is markup.
    expected_pages = [one for one in (*PAGES, *head_end.PAGES) if "<head><noscript>" not in one]
    texts = [page_of(expected).decode().removeprefix("\ufeff") for expected in expected_pages]
    results = [injected(text, top_at_head_end) for text in texts]
    told = page.evaluate(COMPARE, [[text, result[0]] for text, result in zip(texts, results, strict=True)])
    wrong = []
    for text, (_, top, bottom), (scripts, in_head, same) in zip(texts, results, told, strict=True):
        if scripts != ["top"] * top + ["bottom"] * bottom or in_head != top or not same:
            wrong.append((text, scripts, in_head, same))
    assert wrong == []


@PLACES
def test_the_hostile_documents_are_the_same_too(top_at_head_end: bool, site: Site, page: Any) -> None:
    """A second judge beside :mod:`tests.html.test_inject_corpus`, which tells the mode as well."""
    page.goto(site.add("/", head=""))
    # Chromium throws NUL away before its parser looks, which the standard does in the body only (section 13.2.6.4.7).
    # DOMParser reads a page as if no scripts ran: what <noscript> holds is markup to it.
    left_out = (b"\0", b"<noscript") if top_at_head_end else (b"\0",)
    texts = [one.decode(errors="replace") for one in documents() if not any(word in one for word in left_out)]
    made = []
    for text in texts:
        injector = Injector(TOP.encode(), top_at_head_end=top_at_head_end)
        made.append((injector.feed(text.encode()) + injector.finish()).decode())
    told = page.evaluate(COMPARE, list(zip(texts, made, strict=True)))
    wrong = [
        (text, scripts, same)
        for text, after, (scripts, in_head, same) in zip(texts, made, told, strict=True)
        if scripts != ["top"] * (TOP in after) or in_head != (TOP in after) or not same
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "policy", ["default-src 'none'", "script-src 'unsafe-inline'; connect-src a.test", "script-src"]
)
def test_an_adapted_policy_lets_the_script_in_and_nothing_else(policy: str, site: Site, page: Any) -> None:
    url = site.origin + "/_lbc/fetch-from.js?v=1"
    (adapted,) = adapt([policy.encode()], url) or [b""]
    site.scripts["/other.js"] = b"window.other = true"
    page.goto(
        site.add("/a", head=TAG + "<script src=/other.js></script>", **{"Content-Security-Policy": adapted.decode()})
    )
    assert [notice["token"] for notice in site.wait()] == ["TOKEN"]
    assert page.evaluate("window.other === undefined")
    page.goto(site.add("/b", **{"Content-Security-Policy": policy}))
    assert page.evaluate("window.FetchFromWithCookies === undefined")
    assert len(site.notices) == 1


#: A snippet in line that loads the recorder by itself.
LOADER = Snippet(
    b"<script>\r\n/* {node} */ var told = '{token}', one = document.createElement('script');\r\n"
    b"one.src = '{prefix}/fetch-from.js?v=1'; one.setAttribute('data-lbc-token', told);\r\n"
    b"one.setAttribute('data-lbc-fetch-from', '{fetch_from}'); document.head.append(one);</script>"
    b"<script>window.second = true</script>"
)
VALUES = {"token": "TOKEN", "node": "n1", "prefix": "/_lbc", "fetch_from": "http://x.test/_lbc/page/TOKEN"}


@pytest.mark.parametrize(
    ("policy", "as_it_is"),
    [
        ("default-src 'none'", False),
        ("script-src 'self'", False),
        ("script-src 'strict-dynamic'", False),
        ("script-src 'strict-dynamic' 'unsafe-inline' 'nonce-abc' https:", False),
        ("script-src 'unsafe-inline' 'sha256-AAAA'; connect-src 'self'", False),
        ("script-src 'unsafe-inline'; connect-src a.test", False),
        ("script-src 'unsafe-inline' 'self'", True),
    ],
)
def test_scripts_in_line_run_by_their_hashes(policy: str, as_it_is: bool, site: Site, page: Any) -> None:
    snippet = LOADER.fill(VALUES)
    inserted = InsertedScripts(LOADER.external, LOADER.inline, inline_hashes(snippet), LOADER.uses_nonce)
    url = site.origin + "/_lbc/fetch-from.js?v=1"
    assert evaluate([policy], url, inserted=inserted).allowed is as_it_is
    (adapted,) = adapt([policy.encode()], url, inserted=inserted) or [b""]
    assert evaluate([adapted], url, inserted=inserted).allowed
    other = "<script>window.other = true</script>"
    page.goto(site.add("/a", head=snippet.decode() + other, **{"Content-Security-Policy": adapted.decode()}))
    assert [notice["token"] for notice in site.wait()] == ["TOKEN"]
    assert page.evaluate("window.second")
    living = "'unsafe-inline'" in policy and "sha256" not in policy and "nonce" not in policy
    assert page.evaluate("window.other === true") is living
    if not as_it_is:
        page.goto(site.add("/b", head=snippet.decode(), **{"Content-Security-Policy": policy}))
        assert page.evaluate("window.FetchFromWithCookies === undefined")
        assert len(site.notices) == 1
