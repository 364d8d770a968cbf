"""Whether a browser makes the same document of a page with the script and without."""

from __future__ import annotations

from typing import Any

from lbcompanion.html.inject import Injector
from tests.support.browser import TAG, Site

#: The document as text, our scripts left out, hashed; with its mode and what the page's own scripts saw.
SEEN = """() => {
    document.querySelectorAll("script[data-lbc-token]").forEach(one => one.remove());
    document.normalize();
    const text = new XMLSerializer().serializeToString(document) + document.documentElement.outerHTML;
    let a = 7, b = 11;
    for (let i = 0; i < text.length; i += 1) {
        a = Math.imul(a ^ text.charCodeAt(i), 2654435761);
        b = Math.imul(b + text.charCodeAt(i), 1597334677);
    }
    const count = document.querySelectorAll("*").length;
    return [text.length, a >>> 0, b >>> 0, document.compatMode, count, window.told || []];
}"""


def same_document(plain: bytes, content_type: str, site: Site, page: Any, folder: str = "/") -> list[Any]:
    """Show a page with and without the snippets: both run, and all else is the same; gives what was seen."""
    bottom = b"<script data-lbc-token=bottom>window.bottom = true</script>"
    injector = Injector(TAG.encode(), bottom, charset_known="charset" in content_type)
    pieces = [injector.feed(plain[at : at + 65536]) for at in range(0, len(plain), 65536)]
    changed = b"".join(pieces) + injector.finish()
    assert changed.replace(TAG.encode(), b"", 1).replace(bottom, b"", 1) == plain
    fields = {"Content-Type": content_type}
    site.pages[folder + "plain.html"], site.pages[folder + "changed.html"] = (plain, fields), (changed, fields)
    page.goto(site.origin + folder + "plain.html")
    before: list[Any] = page.evaluate(SEEN)
    page.goto(site.origin + folder + "changed.html")
    assert [notice["token"] for notice in site.wait()] == ["TOKEN"]
    assert page.evaluate("window.bottom")
    assert page.evaluate(SEEN) == before
    return before
