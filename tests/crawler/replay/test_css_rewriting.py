from __future__ import annotations

import pytest

from lbcompanion.crawler.replay.css_rewriting import rewrite_css, safe_in_element


@pytest.mark.parametrize(
    ("css", "rewritten"),
    [
        ("a { b: url(x.png) }", 'a { b: url("<x.png>") }'),
        ("a { b: url( 'x.png' ) }", 'a { b: url( "<x.png>" ) }'),
        ("@import 'x.css' screen;", '@import "<import x.css>" screen;'),
        ("@import url(x.css);", '@import url("<import x.css>");'),
        ("a { b: u\\72l(x) }", 'a { b: url("<x>") }'),
        ("a { b: image-set('x' 1x, 'y' 2x) }", 'a { b: image-set("<x>" 1x, "<y>" 2x) }'),
        ("a { b: image-set(var(--c, 'x') 1x) }", "a { b: image-set(not-shown(--c, 'x') 1x) }"),
        ("a { b: -webkit-image-set(VAR(--c)) }", "a { b: -webkit-image-set(not-shown(--c)) }"),
        ("a { b: src(x(v\\61r(--c))) }", "a { b: src(x(not-shown(--c))) }"),
        ("a { b: image-set(--c() 1x, env(d) 2x) }", "a { b: image-set(not-shown() 1x, not-shown(d) 2x) }"),
        ("a { b: image-set(type('x')) var(--c); d: --c(var(--e)) }", None),
        ("a { b: url(x", 'a { b: url("<x>")'),
        ("a { b: url('x", 'a { b: url("<x>"'),
        ("a { b: url(\0x) }", 'a { b: url("<\ufffdx>") }'),
        ("a { b: url(#x); c: 'url(x)' } /* url(x) */", None),
        ("@namespace url(x); a { content: 'x' }", None),
        ("a { b: url(x y) }", None),
    ],
)
def test_each_url_is_replaced_where_it_stands(css: str, rewritten: str | None) -> None:
    found = rewrite_css(css, lambda place: f"<{'import ' if place.is_imported else ''}{place.url}>")
    assert found.replace("\\3c ", "<").replace("\\3e ", ">") == (css if rewritten is None else rewritten)


def test_a_replacement_cannot_end_its_string() -> None:
    assert rewrite_css("a{b:url(x)}", lambda _place: 'a"\n\\</style>') == 'a{b:url("a\\22 \\a \\5c \\3c /style\\3e ")}'


@pytest.mark.parametrize(
    ("css", "safe"),
    [
        ("@media (width < 9px) { a > b { c: 1 } }", None),
        ("a { &:hover { b: 1 } & p { b: 1 } &.x { b: 1 } }", None),
        ("a::before { content: '&lt;</style>' }", "a::before { content: '\\26 lt;\\3c /style>' }"),
        ("<!-- a { b: 1 } -->", "     a { b: 1 } -->"),
        ("a { content: '&#60;' }", "a { content: '\\26 #60;' }"),
    ],
)
def test_a_style_element_reads_the_same_as_text_and_as_markup(css: str, safe: str | None) -> None:
    assert safe_in_element(css) == (css if safe is None else safe)
