from __future__ import annotations

from time import process_time

import pytest

from lbcompanion.crawler.replay.html_rewriting import Refresh, Replacement, RewrittenPage, Use, rewrite_page
from tests.support.hostile_pages import HOSTILE
from tests.support.loading_parts import unrewritten
from tests.support.programs import need_library

URL = "http://s.test/a/b?c=d"


def resolve(use: Use, url: str) -> Replacement:
    if "gone" in url:
        return Replacement("/PLACEHOLDER" if use is Use.IMAGE else "", "404")
    return Replacement(f"/{use.name}:{url.removeprefix('http://s.test')}")


def rewritten(markup: str | bytes, content_type: str = "text/html; charset=utf-8") -> RewrittenPage:
    return rewrite_page(markup.encode() if isinstance(markup, str) else markup, URL, content_type, resolve)


def shown(markup: str | bytes, content_type: str = "text/html; charset=utf-8") -> str:
    return rewritten(markup, content_type).body.decode()


@pytest.mark.parametrize(
    ("markup", "result"),
    [
        ("<img src=x>", '<img src="/IMAGE:/a/x">'),
        ("<img src=gone alt=y>", '<img alt="y" src="/PLACEHOLDER" title="Not recorded: 404">'),
        ("<img src=gone srcset='x 2x, gone 3x'>", '<img srcset="/IMAGE:/a/x 2x">'),
        ("<img src=' data:image/gif,x'>", '<img src="data:image/gif,x">'),
        ("<img src='da ta:x'>", '<img src="/IMAGE:/a/da%20ta:x">'),
        ("<video src=x poster=y autoplay>", '<video poster="/FILE:/a/y" src="/MEDIA:/a/x">'),
        ("<a href=/x#y target=_blank ping=z onclick=z>", '<a href="/LINK:/x#y">'),
        ("<a href='#y'>", '<a href="#y">'),
        ("<base href=/z/><a href='#y'><img src=x>", '<a href="/LINK:/z/#y"><img src="/IMAGE:/z/x">'),
        ("<a href='/a/b?c=d#y'>", '<a href="#y">'),
        ("<a href=javascript:x>", '<a href="/LINK:javascript:x">'),
        ("<form action=x><button formaction=y>", "<form><button>"),
        ("<iframe src=x>y</iframe>", '<iframe src="/FRAME:/a/x"></iframe>'),
        ("<iframe srcdoc='<img src=x>'>", '<iframe srcdoc="&lt;img src=&quot;/IMAGE:/a/x&quot;&gt;">'),
        ("<object data=x type=y>z</object>", '<object data="/OBJECT:/a/x">z</object>'),
        ("<embed src=gone>", ""),
        ("<p style='background:url(x)'>", '<p style="background:url(&quot;/FILE:/a/x&quot;)">'),
        ("<p style='background:url(gone)'>", '<p style="background:url(&quot;about:invalid&quot;)">'),
        ("<td background=x>", '<td background="/FILE:/a/x">'),
        ("<style>@import 'x'; a{b:url(y)}</style>", '<style>@import "/STYLE:/a/x"; a{b:url("/FILE:/a/y")}</style>'),
        ("<link rel='preload stylesheet' href=x integrity=y>", '<link rel="stylesheet" href="/STYLE:/a/x">'),
        ("<link rel=preload href=x><link rel=stylesheet href=gone>", ""),
        ("<script src=x id=y>z</script>", '<script id="y"></script>'),
        ("<script><!--<script></script>x--></script>y", "<script></script>y"),
        ("<svg><use href=x.svg#y /></svg>", '<svg><use href="/FILE:/a/x.svg#y"/></svg>'),
        ("<svg><image xlink:href=x /></svg>", '<svg><image xlink:href="/IMAGE:/a/x"/></svg>'),
        ("<svg><a xlink:href=x></a></svg>", '<svg><a xlink:href="/LINK:/a/x"></a></svg>'),
        ("<svg><set attributeName=href to=x /></svg>", '<svg><set to="x"/></svg>'),
        ("<svg><link rel=icon href=x /><g/></svg>", '<svg><link rel="icon" href="/IMAGE:/a/x"/><g/></svg>'),
        ("<svg><input /><rect/></svg><input />", "<svg><input/><rect/></svg><input>"),
        ("<svg><path d='M0 0'/><style/><b></svg>", '<svg><path d="M0 0"/><style></style><b></svg>'),
        ("<svg><![CDATA[<b>&]]></svg><![CDATA[<b>]]>", "<svg>&lt;b>&amp;</svg>]]>"),
        ("<meta charset=latin1>", '<meta charset="utf-8">'),
        ("<meta http-equiv=csp content=x><meta property=og:image content=x>", ""),
        ("<meta name=viewport content=x>", '<meta name="viewport" content="x">'),
        ("<title>a<b</title><textarea>&lt;<b></textarea>", "<title>a&lt;b</title><textarea>&lt;&lt;b></textarea>"),
        ("<xmp><b>&lt;</xmp>", "<pre>&lt;b>&amp;lt;</pre>"),
        ("<<!-- -->img src=x>", "&lt;img src=x>"),
        ("a<!-- b --><?c?><!d></>e", "ae"),
        ("<!doctype html><p>", "<!doctype html><p>"),
        ("<p><!doctype html>", "<p>"),
        ("<p title='a&quot;<b>'>", '<p title="a&quot;&lt;b&gt;">'),
        ("<p foo=http://x bar='url(x)' data-x=http://x>", '<p bar="url(&quot;/FILE:/a/x&quot;)" data-x="http://x">'),
        ("<p a=1 a=2><p 'x=1><p x<y=1>", '<p a="1"><p><p>'),
        ("<applet code=x>y</applet><noscript>z</noscript>", "y<noscript>z</noscript>"),
        ("<plaintext>a<b>", "a&lt;b>"),
        ("x<img src=y", "x"),
    ],
)  # fmt: skip
def test_markup_is_rewritten(markup: str, result: str) -> None:
    assert shown(markup) == result


@pytest.mark.parametrize(
    ("body", "content_type", "result"),
    [
        ("ä<a href='?ä'>".encode("latin-1"), "text/html; charset=latin1", 'ä<a href="/LINK:/a/b?%E4">'),
        ("<meta charset=windows-1251>я".encode("cp1251"), "text/html", '<meta charset="utf-8">я'),
        ("ä<img src=x>".encode("utf-16"), "text/html", 'ä<img src="/IMAGE:/a/x">'),
        (b"<br/><div/><img src='x'/>\xc3\xa4", "application/xhtml+xml", '<br/><div></div><img src="/IMAGE:/a/x"/>ä'),
        (b"<p><![CDATA[<b>]]></p><script/>x", "application/xhtml+xml", "<p>&lt;b></p><script></script>x"),
    ],
)
def test_a_page_in_any_encoding_becomes_utf_8(body: bytes, content_type: str, result: str) -> None:
    assert shown(body, content_type) == result


def test_scripts_that_do_not_run_are_counted() -> None:
    page = rewritten(
        "<script>a()</script><script>b()</script><SCRIPT type=module src=c.js></SCRIPT><script type='text/JavaScript'>"
        "</script><script type=application/ld+json>{}</script><scripted></scripted><!-- <script> --><p>"
    )
    assert page.scripts == 4
    assert rewritten("<p>a").scripts == 0


@pytest.mark.parametrize(
    ("content", "refresh"),
    [
        ("5; url=/x", Refresh(5, "http://s.test/x")),
        ("0;URL='x y'", Refresh(0, "http://s.test/a/x%20y")),
        ("3", Refresh(3, "http://s.test/a/b?c=d")),
        ("0; /x", Refresh(0, "http://s.test/x")),
    ],
)
def test_a_refresh_is_reported(content: str, refresh: Refresh) -> None:
    page = rewritten(f'<meta http-equiv=refresh content="{content}">')
    assert (page.body, page.refresh) == (b"", refresh)


def test_what_is_missing_is_reported() -> None:
    page = rewritten("<img src=gone><link rel=stylesheet href=gone2><iframe srcdoc='<img src=gone3>'></iframe>")
    assert page.missing == {f"http://s.test/a/{name}": "404" for name in ("gone", "gone2", "gone3")}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_another_parser_finds_nothing_that_loads(name: str) -> None:
    need_library("justhtml")
    markup = (
        HOSTILE[name].replace("{{", "{").replace("}}", "}").replace("{t}", "http://t.test").replace("{u}", "//t.test")
    )
    uses = tuple(f"/{use.name}" for use in Use)
    assert unrewritten(shown(markup), lambda address: address.startswith(uses)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    ["<p a='", "<img src=x ", "<svg>", "<style>a{b:url(", "<!--", "<a href=x", "&", "<![CDATA[", "<i a=1 b>", "<<"],
)
def test_the_cost_is_linear(part: str) -> None:
    def seconds(count: int) -> float:
        start = process_time()
        rewritten("<svg><base href=/>" + part * count)
        return process_time() - start

    assert seconds(40_000) < 6 * seconds(10_000) + 0.5
