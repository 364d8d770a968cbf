"""What is inserted into a page, and where the page asks for the script."""

from __future__ import annotations

import re

import pytest

from lbcompanion.settings import InjectTable
from tests.support.in_memory_node import PAGE, InMemoryNode, html


def test_the_tag_and_its_values() -> None:
    companion = InMemoryNode(node={"direct_origin": "https://n1.example.com"})
    companion.application.answers(html(PAGE, b"Content-Security-Policy: script-src 'nonce-abc123'"))
    answer = companion.get()
    token = companion.page.token
    tag = re.search(rb"<script.*?</script>", answer.body)
    assert tag is not None
    assert tag[0].decode() == (
        f'<script async src="./-/_lbc/fetch-from?v={companion.script.version}" data-lbc-token="{token}"'
        f' data-lbc-fetch-from="https://n1.example.com/_lbc/page/{token}" nonce="abc123"></script>'
    )
    assert answer.all(b"lbc-token") == []


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (b"/", "./-"),
        (b"/index.html", "./-"),
        (b"/shop", "./shop/-"),
        (b"/shop/", "./-"),
        (b"/shop/a/item.html?x=/y", "./-"),
        (b"//evil.example/x", "./-"),
        (b"/a%22b", "./-"),
        (b"/a:b", "./-"),
    ],
)
@pytest.mark.parametrize("fields", [(), (b"Content-Security-Policy: default-src 'self'",)])
def test_the_script_is_asked_for_below_the_pages_folder(path: bytes, folder: str, fields: tuple[bytes, ...]) -> None:
    companion = InMemoryNode()
    companion.application.answers(html(PAGE, *fields))
    assert (
        f'<script async src="{folder}/_lbc/fetch-from?v={companion.script.version}" '.encode()
        in companion.get(path).body
    )


@pytest.mark.parametrize(
    ("inject", "fields"),
    [
        (InjectTable(address="prefix"), ()),
        (InjectTable(top_after="<head>"), ()),
        (InjectTable(), (b"Content-Security-Policy: script-src http://www.example.com/_lbc/fetch-from.js",)),
    ],
)
def test_the_script_is_asked_for_below_the_prefix(inject: InjectTable, fields: tuple[bytes, ...]) -> None:
    companion = InMemoryNode(inject=inject)
    companion.application.answers(html(PAGE, *fields))
    assert f'src="/_lbc/fetch-from.js?v={companion.script.version}" '.encode() in companion.get(b"/shop/item").body


def test_snippets_take_the_tags_place() -> None:
    companion = InMemoryNode(
        inject=InjectTable(top=b"<script>a('{token}', '{node}')</script>", bottom=b"<i>{fetch_from} {prefix}</i>")
    )
    body = companion.get().body
    token = companion.page.token
    assert f"<head><script>a('{token}', 'n1')</script>".encode() in body
    assert f"<i>http://www.example.com/_lbc/page/{token} /_lbc</i></body>".encode() in body
