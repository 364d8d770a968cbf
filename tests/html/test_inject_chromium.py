"""Where the snippets go, judged by a real browser's parser: but for them, the document is the same."""

from __future__ import annotations

from typing import Any

from lbcompanion.html.inject import Injector
from tests.html.test_inject import PAGES, page_of
from tests.html.test_recorder_chromium import Site, context, page, site

__all__ = ["context", "page", "site"]

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


def injected(text: str) -> tuple[str, bool, bool]:
    """The page with snippets, and whether the top and the bottom one were placed."""
    injector = Injector(TOP.encode(), BOTTOM.encode())
    data = text.encode()
    out = (injector.feed(data) + injector.finish()).decode()
    return out, TOP in out, BOTTOM in out


def test_the_document_is_the_same(site: Site, page: Any) -> None:
    page.goto(site.add("/", head=""))
    # The parser gets text, not bytes: a byte order mark would be a letter to it.
    texts = [page_of(expected).decode().removeprefix("\ufeff") for expected in PAGES]
    results = [injected(text) for text in texts]
    told = page.evaluate(COMPARE, [[text, result[0]] for text, result in zip(texts, results, strict=True)])
    wrong = []
    for text, (_, top, bottom), (scripts, in_head, same) in zip(texts, results, told, strict=True):
        if scripts != ["top"] * top + ["bottom"] * bottom or in_head != top or not same:
            wrong.append((text, scripts, in_head, same))
    assert wrong == []
