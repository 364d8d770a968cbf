"""The inserted text, and the address at which the page requests the script."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from ipaddress import ip_network
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from lbcompanion.html.page_detection import Eligibility
from lbcompanion.html.snippets import integrity_of
from lbcompanion.node.capture.insertion import Insertion
from lbcompanion.settings import CaptureTable, InjectTable, StickyTable
from tests.support.in_memory_node import PAGE, InMemoryNode, html

#: A page whose ``<base>`` precedes the tag.
BASED = PAGE.replace(b"<title>", b"<base href='http://127.0.0.2:9/'><title>")
PROXY = (ip_network("192.0.2.0/24"),)


def source_of(body: bytes) -> str:
    """The address of the script in the tag."""
    found = re.search(rb'<script async src="([^"]*)" data-lbc-token', body)
    assert found is not None
    return found[1].decode()


def test_the_tag_and_its_values() -> None:
    companion = InMemoryNode(node={"direct_origin": "https://n1.example.com"})
    companion.application.answers(html(PAGE, b"Content-Security-Policy: script-src 'nonce-abc123'"))
    answer = companion.get()
    token = companion.page.token
    tag = re.search(rb"<script.*?</script>", answer.body)
    assert tag is not None
    assert tag[0].decode() == (
        f'<script async src="./-/_lbc/fetch-from?v={companion.script.version}" data-lbc-token="{token}"'
        f' data-lbc-fetch-from="https://n1.example.com/_lbc/page/{token}"'
        f' integrity="{integrity_of(companion.script.source)}" crossorigin="anonymous" nonce="abc123"></script>'
    )
    assert answer.body == PAGE.replace(b"</head>", tag[0] + b"</head>")
    assert answer.all(b"lbc-token") == []


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"inject": InjectTable(clicktale_names=True)},
        {"inject": InjectTable(address="prefix")},
        {"capture": CaptureTable(ratio=0.5, visitor_cookie="other")},
        {"sticky": StickyTable(dialect="haproxy-insert", cookies=("SRV", "caf\u00e9", "/^a<b>$/"))},
        {"node": {"prefix": "/other/_lbc"}},
        {"node": {"public_origin": "http://www.example.com"}},
    ],
)
def test_the_integrity_is_that_of_the_script_at_the_tags_address(tables: dict[str, Any], workers: int) -> None:
    nodes = [InMemoryNode(**tables) for _ in range(workers)]
    body = nodes[0].get(b"/shop/item").body
    integrity = re.search(rb'integrity="sha256-([^"]*)" crossorigin="anonymous"', body)
    assert integrity is not None
    address = urlsplit(urljoin("http://www.example.com/shop/item", source_of(body)))
    path = address._replace(scheme="", netloc="").geturl().encode()
    script = nodes[-1].get(path)
    assert b64encode(sha256(script.body).digest()) == integrity[1]
    assert b"immutable" in (script.get(b"cache-control") or b"")
    assert script.get(b"access-control-allow-origin") == b"*"


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (b"/", "/-"),
        (b"/index.html", "/-"),
        (b"/shop", "/shop/-"),
        (b"/shop/", "/shop/-"),
        (b"/shop/a/item.html?x=/y", "/shop/a/-"),
        (b"//evil.example/x", "//evil.example/-"),
        (b"/a%22b", "/-"),
        (b"/a%22b/c", "/a%22b/-"),
        (b"/a'&b/c", "/a&#x27;&amp;b/-"),
        (b"/a:b", "/-"),
    ],
)
@pytest.mark.parametrize("fields", [(), (b"Content-Security-Policy: default-src 'self'",)])
@pytest.mark.parametrize("inject", [InjectTable(), InjectTable(top_after="<head>")])
def test_the_script_is_asked_for_below_the_pages_folder(
    path: bytes, folder: str, fields: tuple[bytes, ...], inject: InjectTable
) -> None:
    companion = InMemoryNode(inject=inject)
    companion.application.answers(html(BASED, *fields))
    expected = f"//www.example.com{folder}/_lbc/fetch-from?v={companion.script.version}"
    assert source_of(companion.get(path).body) == expected


@pytest.mark.parametrize(
    ("path", "start"),
    [(b"/", "./-"), (b"/shop", "./shop/-"), (b"/shop/a/item.html", "./-"), (b"//evil.example/x", "./-")],
)
@pytest.mark.parametrize("fields", [(), (b"Content-Security-Policy: default-src 'self'",)])
@pytest.mark.parametrize(("address", "page"), [("page", PAGE), ("relative", PAGE), ("relative", BASED)])
def test_the_address_is_relative(path: bytes, start: str, fields: tuple[bytes, ...], address: str, page: bytes) -> None:
    companion = InMemoryNode(inject=InjectTable(address=address))
    companion.application.answers(html(page, *fields))
    assert source_of(companion.get(path).body) == f"{start}/_lbc/fetch-from?v={companion.script.version}"


@pytest.mark.parametrize(
    ("node", "fields", "origin"),
    [
        ({}, (), "//www.example.com"),
        ({"public_origin": "http://shop.example"}, (), "http://shop.example"),
        ({"public_origin": "https://shop.example/"}, (b"X-Forwarded-Proto: http",), "https://shop.example"),
        ({}, (b"X-Forwarded-Proto: https", b"X-Forwarded-Host: evil.example"), "//www.example.com"),
        ({"trusted_proxies": PROXY}, (b"X-Forwarded-Proto: https",), "https://www.example.com"),
        # A proxy may say so of its own connection, behind one that speaks https.
        ({"trusted_proxies": PROXY}, (b"X-Forwarded-Proto: http",), "//www.example.com"),
        ({"trusted_proxies": PROXY}, (b"X-Forwarded-Host: shop.example",), "//shop.example"),
    ],
)
def test_the_origin_of_the_scripts_address(node: dict[str, Any], fields: tuple[bytes, ...], origin: str) -> None:
    companion = InMemoryNode(node=node)
    companion.application.answers(html(BASED))
    body = companion.get(b"/shop/item", *fields).body
    assert source_of(body).startswith(f"{origin}/shop/-/_lbc/fetch-from?")


@pytest.mark.parametrize(
    ("inject", "fields"),
    [
        (InjectTable(address="prefix"), ()),
        (InjectTable(), (b"Content-Security-Policy: script-src http://www.example.com/_lbc/fetch-from.js",)),
    ],
)
def test_the_script_is_asked_for_below_the_prefix(inject: InjectTable, fields: tuple[bytes, ...]) -> None:
    companion = InMemoryNode(inject=inject)
    for page, host in ((PAGE, ""), (BASED, "//www.example.com")):
        companion.application.answers(html(page, *fields))
        expected = f"{host}/_lbc/fetch-from.js?v={companion.script.version}"
        assert source_of(companion.get(b"/shop/item").body) == expected


@pytest.mark.parametrize("base", [b"", b"<base href=/x>"])
def test_with_a_public_origin_the_address_is_absolute(base: bytes) -> None:
    companion = InMemoryNode(node={"public_origin": "https://shop.example"})
    companion.application.answers(html(PAGE.replace(b"<title>", base + b"<title>")))
    assert source_of(companion.get().body).startswith("https://shop.example/-/_lbc/fetch-from?")


@pytest.mark.parametrize("size", [1, 7, 64, 100_000])
@pytest.mark.parametrize("coding", ["utf-8", "utf-16le"])
def test_a_base_is_seen_however_the_page_arrives(size: int, coding: str) -> None:
    companion = InMemoryNode()
    for page, start in ((PAGE, "./"), (BASED, "//www.example.com/"), (BASED.replace(b"base", b"BASE"), "//www.")):
        body = page.decode().encode(coding)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=%b\r\nContent-Length: %d\r\n\r\n"
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        companion.application.answers(head % (coding.encode(), len(body)), *pieces)
        received = companion.get().body.decode(coding)
        assert source_of(received.encode()).startswith(start)


def test_a_base_and_a_policy_before_the_tag() -> None:
    companion = InMemoryNode()
    policy = b"<meta http-equiv=Content-Security-Policy content=\"script-src 'nonce-abc'\">"
    head = b"<base href='http://127.0.0.2:9/'>" + policy
    companion.application.answers(html(PAGE.replace(b"<title>", head + b"<title>")))
    body = companion.get().body
    assert source_of(body).startswith("//www.example.com/-/_lbc/fetch-from?")
    assert b' nonce="abc"></script></head>' in body


def test_snippets_take_the_tags_place() -> None:
    companion = InMemoryNode(
        inject=InjectTable(top=b"<script>a('{token}', '{node}')</script>", bottom=b"<i>{fetch_from} {prefix}</i>")
    )
    body = companion.get().body
    token = companion.page.token
    assert f"<head><script>a('{token}', 'n1')</script>".encode() in body
    assert f"<i>http://www.example.com/_lbc/page/{token} /_lbc</i></body>".encode() in body


BASE = b"<base href='http://127.0.0.2:9/'>"
PREFIXED = b"<script src='{prefix}/fetch-from.js'></script>"
PLAIN, ABSOLUTE = (b"<script src='%b/fetch-from.js'></script>" % one for one in (b"/_lbc", b"//www.example.com/_lbc"))


@pytest.mark.parametrize(
    ("inject", "page", "expected"),
    [
        ({"bottom": PREFIXED}, b"<html><head></head><body>x</body>", PLAIN + b"</body>"),
        ({"bottom": PREFIXED}, b"<html><head>" + BASE + b"</head><body>x</body>", ABSOLUTE + b"</body>"),
        ({"bottom": PREFIXED}, b"<html><head><BASE HREF=x></head><body>x", ABSOLUTE),
        ({"bottom": PREFIXED}, b"<html><head></head><body>x</body><!--" + BASE + b"-->", PLAIN + b"</body>"),
        ({"top": PREFIXED}, b"<html><head>" + BASE + b"</head><body>x</body>", b"<head>" + PLAIN + BASE),
        ({"top": PREFIXED, "top_after": "<body>"}, b"<html><head>" + BASE + b"</head><body>x", b"<body>" + ABSOLUTE),
        ({"top": PREFIXED, "top_after": "<body>"}, b"<html><head></head><body>x", b"<body>" + PLAIN),
        ({"bottom": PREFIXED, "bottom_before": "<i>"}, b"<html>" + BASE + b"<body><i>", ABSOLUTE + b"<i>"),
    ],
)
@pytest.mark.parametrize("code", ["ascii", "utf-16-le"])
@pytest.mark.parametrize("step", [1, 1000])
def test_the_prefix_is_absolute_behind_a_base(
    inject: dict[str, Any], page: bytes, expected: bytes, code: str, step: int
) -> None:
    policy = InMemoryNode(inject=InjectTable(**inject)).policy
    insertion = Insertion(
        policy=policy,
        path=b"/",
        csp_headers=[],
        eligibility=Eligibility(True, True, "", charset="utf-8" if code == "ascii" else "utf-16le"),
        token="TOKEN",
        origin="http://www.example.com",
    )
    injector = insertion.injector()
    page = page.decode().encode(code)
    pieces = [injector.feed(page[at : at + step]) for at in range(0, len(page), step)]
    assert expected.decode().encode(code) in b"".join(pieces) + injector.finish()


def test_both_forms_of_the_prefix_are_allowed_by_their_hashes() -> None:
    inject = InjectTable(bottom=b"<script>load('{prefix}')</script>", csp="adapt")
    companion = InMemoryNode(inject=inject)
    companion.application.answers(
        html(PAGE.replace(b"<title>", BASE + b"<title>"), b"Content-Security-Policy: script-src x.test")
    )
    answer = companion.get()
    assert b"<script>load('//www.example.com/_lbc')</script></body>" in answer.body
    digest = b64encode(sha256(b"load('//www.example.com/_lbc')").digest())
    assert b"'sha256-%b'" % digest in (answer.get(b"content-security-policy") or b"")


@pytest.mark.parametrize(
    ("top", "blocked"),
    [
        (None, False),
        (b"<script src='/x.js'></script>", True),
        (b"<script src='/x.js' integrity='sha256-x'></script>", True),
        (b"<script src='/x.js' integrity='sha256-x' crossorigin></script>", False),
        (b"<script>inline()</script>", False),
    ],
)
def test_a_snippet_that_an_integrity_policy_blocks_is_not_inserted(top: bytes | None, blocked: bool) -> None:
    companion = InMemoryNode(inject=InjectTable(top=top))
    companion.application.answers(html(PAGE, b"Integrity-Policy: blocked-destinations=(script)"))
    assert (companion.get().body == PAGE) is blocked
    assert ("blocked by Integrity-Policy" in companion.counters.not_injected) is blocked
    assert companion.page


@pytest.mark.parametrize(("path", "start"), [(b"/shop/a", "/shop/-"), (b"//evil.example/x", "/evil.example/-")])
def test_without_a_host_no_part_of_the_path_becomes_one(path: bytes, start: str) -> None:
    policy = InMemoryNode().policy
    tag = policy.script_tag("TOKEN", "", policy.script_path_after_base(path), None, xhtml=False, after_base=True)
    assert source_of(tag).startswith(f"{start}/_lbc/fetch-from?")
