"""Pages as a node makes them, in a real browser: the script runs and posts its notice, whatever the page is like."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.browser import Site
from tests.support.in_memory_node import InMemoryNode, html

pytestmark = pytest.mark.browser

PAGE = b"<!DOCTYPE html><html><head><title>x</title></head><body><p>text</p></body></html>"


def shown(site: Site, path: str, plain: bytes, *fields: bytes, known_origin: bool = True) -> str:
    """Serve a page as a node forwards it, with the node's script; returns the page's address."""
    node = {"public_origin": site.origin} if known_origin else {}
    companion = InMemoryNode(node=node)
    companion.application.answers(html(plain, *fields))
    host = site.address.removeprefix("//").encode()
    (answer,) = companion.ask(b"GET %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (path.encode(), host))
    for folder in ("", "/shop", "/shop/deep"):
        site.scripts[f"{folder}/-/_lbc/fetch-from"] = companion.script.source
    lines = [(name.decode(), value.decode()) for name, value in answer.fields]
    kept = {name: value for name, value in lines if name.lower() not in {"content-length", "connection", "date"}}
    site.pages[path] = (answer.body, kept)
    return site.origin + path


@pytest.mark.parametrize("known_origin", [True, False])
@pytest.mark.parametrize("path", ["/", "/shop", "/shop/deep/item.html"])
def test_a_base_of_another_origin(site: Site, page: Any, path: str, known_origin: bool) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    base = b'<base href="http://127.0.0.1:9/elsewhere/"><title>'
    page.goto(shown(site, path, PAGE.replace(b"<title>", base), known_origin=known_origin))
    (notice,) = site.wait()
    assert notice["url"] == site.origin + path
    assert all(url.startswith(site.origin + "/") for url in asked)


@pytest.mark.parametrize(
    "fields",
    [
        (b"Integrity-Policy: blocked-destinations=(script)",),
        (
            b"Integrity-Policy: blocked-destinations=(script), endpoints=(x)",
            b"Content-Security-Policy: sandbox allow-scripts",
        ),
        (b"Content-Security-Policy: require-sri-for script; script-src 'self'; connect-src 'self'",),
        (b"Content-Security-Policy: script-src 'nonce-abc' 'strict-dynamic'",),
        (b"Cross-Origin-Embedder-Policy: require-corp", b"Cross-Origin-Opener-Policy: same-origin"),
        (b"Document-Policy: force-load-at-top",),
    ],
)
def test_policies_beside_each_other(site: Site, page: Any, fields: tuple[bytes, ...]) -> None:
    page.goto(shown(site, "/shop/a", PAGE, *fields))
    assert len(site.wait()) == 1


def test_a_script_without_integrity_is_what_such_a_policy_blocks(site: Site, page: Any) -> None:
    """The test above sees what it is to see."""
    url = shown(site, "/shop/a", PAGE, b"Integrity-Policy: blocked-destinations=(script)")
    body, fields = site.pages["/shop/a"]
    site.pages["/shop/a"] = (re.sub(rb' integrity="[^"]*"', b"", body), fields)
    page.goto(url)
    assert page.evaluate("new Promise(done => setTimeout(() => done(typeof FetchFromWithCookies), 300))") == "undefined"


def test_the_script_of_another_version_does_not_run(site: Site, page: Any) -> None:
    url = shown(site, "/shop/a", PAGE)
    site.scripts["/shop/-/_lbc/fetch-from"] += b"\n"
    page.goto(url)
    assert page.evaluate("new Promise(done => setTimeout(() => done(typeof FetchFromWithCookies), 300))") == "undefined"


def test_a_service_worker_that_passes_requests_on(context: Any, site: Site, page: Any) -> None:
    site.scripts["/worker.js"] = b"""
        self.addEventListener("install", () => self.skipWaiting());
        self.addEventListener("activate", event => event.waitUntil(self.clients.claim()));
        self.addEventListener("fetch", event => event.respondWith(fetch(event.request)));
    """
    url = shown(site, "/shop/a", PAGE)
    page.goto(url)
    site.wait()
    page.evaluate("navigator.serviceWorker.register('/worker.js')")
    page.wait_for_function("navigator.serviceWorker.controller")
    page.reload()
    assert len(site.wait(2)) == 2
    page.evaluate(
        "navigator.serviceWorker.getRegistrations().then(all => Promise.all(all.map(one => one.unregister())))"
    )


@pytest.mark.parametrize("attributes", ["", 'sandbox="allow-scripts"', 'sandbox="allow-scripts allow-same-origin"'])
def test_in_a_frame(site: Site, page: Any, attributes: str) -> None:
    shown(site, "/shop/inner", PAGE)
    page.goto(site.add("/outer", head="", body=f'<iframe {attributes} src="/shop/inner"></iframe>'))
    (notice,) = site.wait()
    assert notice["url"] == site.origin + "/shop/inner"
