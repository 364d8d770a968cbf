"""React 18 hydrates a whole document that has the tag in it: the server's nodes are kept, and nothing is reported.

``make test`` brings React out of the package of another project that carries it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from lbcompanion.html.inject import Injector
from tests.support.browser import TAG, Site
from tests.support.programs import leave_out

pytestmark = pytest.mark.browser

DOCUMENT = (
    '<!DOCTYPE html><html lang="en"><head><meta charSet="utf-8"/><title>Shop</title>'
    '<link rel="icon" href="data:,"/></head><body><main><h1>Shop</h1><p>text</p></main>{scripts}</body></html>'
)
SCRIPTS = '<script src="/react.js"></script><script src="/react-dom.js"></script><script src="/app.js"></script>'
APPLICATION = b"""
    const e = React.createElement;
    window.reported = [];
    window.heading = document.querySelector("h1");
    const page = e("html", { lang: "en" },
        e("head", null, e("meta", { charSet: "utf-8" }), e("title", null, "Shop"),
            e("link", { rel: "icon", href: "data:," })),
        e("body", null, e("main", null, e("h1", null, "Shop"), e("p", { onClick: () => { window.clicked = true; } },
            "text"))));
    ReactDOM.hydrateRoot(document, page, { onRecoverableError: error => window.reported.push(String(error)) });
"""


@pytest.fixture
def react_site(site: Site) -> Site:
    wheels = sorted((Path(sys.prefix) / "react").glob("dash-*.whl"))
    if not wheels:
        leave_out("React")
    with ZipFile(wheels[-1]) as wheel:
        for name in ("react", "react-dom"):
            site.scripts[f"/{name}.js"] = wheel.read(f"dash/deps/{name}@18.3.1.min.js")
    site.scripts["/app.js"] = APPLICATION
    return site


def hydrated(site: Site, page: Any, text: str) -> tuple[list[str], bool]:
    """What React reports, and whether the server's nodes are still in the document."""
    site.pages["/"] = (text.encode(), {"Content-Type": "text/html; charset=utf-8"})
    page.goto(site.origin + "/")
    # React listens to clicks once it has hydrated the paragraph.
    page.wait_for_function("document.querySelector('p').click() || window.clicked")
    return page.evaluate("window.reported"), page.evaluate("window.heading.isConnected")


def test_the_servers_document_is_kept(react_site: Site, page: Any) -> None:
    plain = DOCUMENT.format(scripts=SCRIPTS)
    assert hydrated(react_site, page, plain) == ([], True)
    injector = Injector(TAG.encode(), top_at_head_end=True)
    changed = (injector.feed(plain.encode()) + injector.finish()).decode()
    assert changed == plain.replace("</head>", TAG + "</head>")
    assert hydrated(react_site, page, changed) == ([], True)
    assert [notice["token"] for notice in react_site.wait()] == ["TOKEN"]
    assert page.evaluate("document.querySelectorAll('head > script[data-lbc-token]').length") == 1


def test_at_the_heads_start_it_would_not_be(react_site: Site, page: Any) -> None:
    """The test above sees what it is to see."""
    changed = DOCUMENT.format(scripts=SCRIPTS).replace("<head>", "<head>" + TAG)
    reported, kept = hydrated(react_site, page, changed)
    assert any("#418" in one or "#423" in one for one in reported)
    assert not kept
