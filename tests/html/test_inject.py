"""Where the snippets go, page by page: ``{T}`` and ``{B}`` stand in the pages where they are expected."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.bottom import MAX_HELD_BYTES
from lbcompanion.html.inject import Injector
from lbcompanion.html.refusal import Refusal
from lbcompanion.html.snippets import default_tag

TOP = b"<script async src=x data-lbc-token=t></script>"
BOTTOM = b"<script>bottom()</script>"


def run(page: bytes, cuts: list[int] | None = None, **settings: object) -> tuple[bytes, Injector]:
    """The page through an injector, cut at the given places."""
    injector = Injector(TOP, settings.pop("bottom", BOTTOM), **settings)  # type: ignore[arg-type]
    edges = [0, *sorted(cuts or []), len(page)]
    out = b"".join(injector.feed(page[a:b]) for a, b in pairwise(edges))
    return out + injector.finish(), injector


def page_of(expected: str) -> bytes:
    return expected.replace("{T}", "").replace("{B}", "").encode()


def filled(expected: str) -> bytes:
    return expected.encode().replace(b"{T}", TOP).replace(b"{B}", BOTTOM)


PAGES = [
    # The usual ones.
    "<!DOCTYPE html><html><head>{T}<title>x</title></head><body>y{B}</body></html>",
    "<!doctype html>\n<html lang=en>\n<head>{T}\n</head>\n<body>\n{B}</body>\n</html>\n",
    "<!DOCTYPE HTML><HTML><HEAD>{T}<TITLE>x</TITLE></HEAD><BODY>y{B}</BODY></HTML>",
    "<HtMl><HeAd>{T}</hEaD><bOdY>{B}</BoDy></HtMl>",
    '<html><head profile="a">{T}</head><body class="b">{B}</body></html>',
    "<html><head\n>{T}</head\t><body>{B}</body\n></html>",
    "<html><head/>{T}<title>x</title><body>{B}</body>",
    # Left out tags.
    "<!DOCTYPE html>{T}<title>x</title><p>y{B}",
    "<!DOCTYPE html>{T}<p>y{B}",
    "{T}plain text{B}",
    "<html>{T}<body>y{B}</body></html>",
    "<html>{T}<title>x</title><body>y{B}</body></html>",
    "<html>\n{T}<body>\n{B}</body>",
    "<!DOCTYPE html>{T}</head><body>y{B}</body>",
    "<!DOCTYPE html>{T}</body></html>".replace("</body>", "{B}</body>"),
    "<!DOCTYPE html>{T}</br>x{B}",
    "<!DOCTYPE html></p></div>{T}<b>x</b>{B}",
    "<!DOCTYPE html></>{T}x{B}",
    "<!DOCTYPE html><html>{T}{B}",
    "<html><head>{T}{B}",
    # <header> is no <head>, <bodyguard> no <body>.
    "<!DOCTYPE html>{T}<header>x</header>{B}",
    "<!DOCTYPE html><html>{T}<header><head>x</header>{B}",
    "<!DOCTYPE html>{T}<htmlx>{B}",
    "<html><head>{T}</head><body>x</bodyguard>y{B}</body>",
    # Before the head.
    "\ufeff<!DOCTYPE html><html><head>{T}</head><body>{B}</body>",
    "\ufeff{T}x{B}",
    " \n\t\f\r<html> <head>{T}</head><body>{B}</body>",
    "<!-- <head> --><html><!-- <body> --><head>{T}</head><body>{B}</body>",
    "<!--><html><head>{T}</head><body>{B}</body><!-- -->",
    "<!---><html><head>{T}</head><body>{B}</body>",
    "<!-- a --!><html><head>{T}</head><body>{B}</body>",
    "<!-- a -- > <head> --><html><head>{T}</head><body>{B}</body>",
    "<!----!><head> --><html>".replace("<head>", "<head>{T}") + "{B}",
    '<?xml version="1.0"?><!DOCTYPE html><html><head>{T}</head><body>{B}</body>',
    "<!x <head><html><head>{T}</head><body>{B}</body>".replace("<head><html>", "<head><html>"),
    "</3><html><head>{T}</head><body>{B}</body>",
    "<![CDATA[ <html><head>{T}</head><body>{B}</body>",
    '<!DOCTYPE html PUBLIC "-//W3C//DTD HTML 4.01//EN" "x"><html><head>{T}</head><body>{B}</body>',
    "<!DOCTYPE html><html><html lang=en><head>{T}</head><body>{B}</body>",
    # Attributes with what looks like tags.
    '<html data-x="<head>"><head>{T}</head><body>{B}</body>',
    "<html data-x='a>b<head>'><head>{T}</head><body>{B}</body>",
    '<html><head>{T}</head><body><a title="</body>">x</a>{B}</body></html>',
    "<html><head>{T}</head><body><a title='</body>' b=</body>>x</a>{B}",
    "<html><head>{T}</head><body><p it's>x</p>{B}</body> it's",
    "<html><head>{T}</head><body><p a=it's>x</p>{B}</body> it's",
    '<html><head>{T}</head><body><p =">x</p>{B}</body>">',
    '<html><head>{T}</head><body><p a = ">" b=\'"\'>x</p>{B}</body>',
    '<html><head>{T}</head><body><p a="x"b="</body>">x</p>{B}</body>',
    # What is not read as tags.
    "<html><head>{T}</head><body>x{B}</body><!-- </body> --></html>",
    "<html><head>{T}</head><body><script>'</body>'</script>{B}</body>",
    "<html><head>{T}</head><body>{B}</body><script>'</body>'</script>",
    "<html><head>{T}</head><body><script><!-- <script> </script> '</body>' --></script>{B}</body>",
    "<html><head>{T}</head><body><script><!--></script>{B}</body><!-- </script> -->",
    "<html><head>{T}</head><body><script><!-- </script>{B}</body>",
    "<html><head>{T}</head><body><style>a:after{content:'</body>'}</style>{B}</body>",
    "<html><head>{T}</head><body>{B}</body><style>a:after{content:'</body>'}</style>",
    "<html><head>{T}</head><body><textarea></body></textarea>{B}</body>",
    "<html><head>{T}</head><body>{B}</body><TEXTAREA></body></TEXTAREA>",
    "<html><head>{T}<title></body></title></head><body>{B}</body>",
    "<html><head>{T}</head><body>{B}</body><title></title></html>",
    "<html><head>{T}</head><body><noscript></body></noscript>x{B}",
    "<html><head>{T}</head><body><xmp></body></xmp><iframe></body></iframe>x{B}",
    "<html><head>{T}</head><body>{B}</body><script></scripty></body></script >",
    # Nested.
    "<html><head>{T}</head><body><template></body></template>{B}</body>",
    "<html><head>{T}</head><body>{B}</body><template><template></template></body></template>",
    "<html><head>{T}</head><body><svg><a></body></a></svg>{B}</body>",
    "<html><head>{T}</head><body><svg/>{B}</body>",
    "<html><head>{T}</head><body><svg><title></body></title><style><a b='</svg>'></style></svg>{B}</body>",
    "<html><head>{T}</head><body><svg><![CDATA[ </svg></body> ]]></svg>{B}</body>",
    "<html><head>{T}</head><body><svg><p>x{B}</body>",
    "<html><head>{T}</head><body><svg><foreignObject><p><textarea></svg></textarea></body></foreignObject></svg>{B}</body>",
    "<html><head>{T}</head><body><math><mi>x</body></math>{B}</body>",
    # Several ends.
    "<html><head>{T}</head><body></body>x{B}</body></html>",
    "<html><head>{T}</head><body>x</body></html><html><head></head><body>y{B}</body></html>",
    "<html><head>{T}</head><body><![CDATA[ </body> ]]>{B}</body>",
    # Nothing at the end of these.
    "<html><head>{T}</head><frameset><frame src=x></frameset></html>",
    "<html><head>{T}</head><frameset><frame src=x></frameset></body></html>",
    "<html><head>{T}</head><body>x<!-- open",
    "<html><head>{T}</head><body>x<script>open",
    "<html><head>{T}</head><body>x<textarea>open",
    "<html><head>{T}</head><body>x<svg>open",
    "<html><head>{T}</head><body>x<template>open</body>",
    "<html><head>{T}</head><body>x<plaintext></body>",
    "<html><head>{T}</head><body>x<a href='open",
    "<html><head>{T}</head><body>x<{B}",
    "<html><head>{T}</head><body>x</",
    # Not sure, or nothing there.
    "",
    " \n ",
    "<!DOCTYPE html>",
    "<!-- only -->",
    "<html",
    "<html><head",
    "<html><!-- open <head>",
    "\ufeff",
    # A charset that may not be pushed away.
    "<html><head><title>x</title><!--" + "y" * 930 + "--><meta charset=utf-8>{T}<p>{B}",
    "<html><head><!--" + "y" * 930 + '--><META HTTP-EQUIV="Content-Type" content="text/html; charset=latin1">{T}<p>{B}',
    "<!DOCTYPE html><!--" + "y" * 940 + "--><meta charset=utf-8>{T}<p>{B}",
    "<html><head>{T}<meta charset=utf-8><!--" + "y" * 2000 + "--><p>{B}",
    "<html><head>{T}<!--" + "y" * 1100 + "--><meta charset=utf-8><p>{B}",
    "<html><head><!--" + "y" * 930 + "<meta charset=x>--><meta charset=utf-8>{T}<p>{B}".replace("<!--y", "<!--y"),
    "<html><head><script>'<meta charset=x>'" + "y" * 940 + "</script><meta charset=utf-8>{T}{B}",
    "<html><head></head><body><!--" + "y" * 950 + "--><meta charset=utf-8></body>",
    "<html><head><meta charset=iso-2022-jp></head><body></body>",
    # Ours or AMP already.
    "<html amp><head></head><body></body></html>",
    "<html \u26a1 lang=en><head></head><body></body></html>",
    "<html \u26a14email><head></head><body></body></html>",
    '<html data-x="amp" amper>{T}<body>{B}</body></html>',
    "<html><head><script src=x data-lbc-token=abc></script></head><body></body></html>",
    "<html><head><title>x</title><SCRIPT DATA-LBC-TOKEN='abc'></SCRIPT></head><body></body></html>",
    "<html><head>{T}<!-- <script data-lbc-token> --><title>data-lbc-token</title></head><body>{B}</body></html>",
    "<html><head>{T}</head><body><script data-lbc-token=x></script>{B}</body></html>",
]


@pytest.mark.parametrize("expected", PAGES)
def test_where_the_snippets_go(expected: str) -> None:
    out, injector = run(page_of(expected))
    assert out == filled(expected)
    assert injector.placed == ("{T}" in expected)
    assert (injector.refusal is None) == injector.placed


@pytest.mark.parametrize("expected", PAGES)
def test_every_single_cut_gives_the_same(expected: str) -> None:
    page = page_of(expected)
    places = range(1, len(page)) if len(page) < 300 else [*range(1, 60), *range(900, len(page), 7)]
    for cut in places:
        assert run(page, [cut])[0] == filled(expected), cut
    if len(page) < 300:
        assert run(page, list(range(1, len(page))))[0] == filled(expected)


WORDS = """
<html> <html⚡> <head> </head> <body> </body> </html> <!-- --> <!--> --!> <![CDATA[ ]]> <!doctype <?x > < / " ' =
<script> <script </script> <style> </style> <title> </title> <textarea> </textarea> <svg> <svg/> </svg> <math> <mi>
<template> </template> <foreignObject> </foreignObject> <desc> <p> </p> <a <meta charset=utf-8 <noscript> </noscript>
<meta http-equiv=content-security-policy data-lbc-token <plaintext> <frameset> text \ufeff <b a=' <b a=" amp
"""
PIECES = st.sampled_from(WORDS.split()) | st.sampled_from(
    [" ", "\n", "-", "<!--" + "x" * 600 + "-->", "\x00", "</body>" + "z" * 9000]
)
SOUPS = st.lists(PIECES, max_size=25).map(lambda parts: "".join(parts).encode()) | st.lists(PIECES, max_size=25).map(
    lambda parts: ("<!doctype html><html><head>" + "".join(parts)).encode()
)
FLAGS = st.fixed_dictionaries({"xhtml": st.booleans(), "charset_known": st.booleans(), "needs_document": st.booleans()})


@given(SOUPS, st.data(), FLAGS)
def test_any_cut_same_output_and_without_snippets_the_page(
    page: bytes, data: st.DataObject, flags: dict[str, bool]
) -> None:
    whole, injector = run(page, **flags)
    cuts = data.draw(st.lists(st.integers(0, len(page)), max_size=8))
    again, other = run(page, cuts, **flags)
    assert again == whole
    assert (other.placed, other.refusal) == (injector.placed, injector.refusal)
    assert whole.replace(TOP, b"").replace(BOTTOM, b"") == page
    assert injector.refusal is not Refusal.FAILED


@given(SOUPS, st.integers(0, 400))
def test_a_page_cut_off_loses_nothing(page: bytes, cut: int) -> None:
    injector = Injector(TOP, BOTTOM)
    out = injector.feed(page[:cut]) + injector.held() + injector.feed(page[cut:]) + injector.finish()
    assert out.replace(TOP, b"").replace(BOTTOM, b"") == page


def test_bytes_flow_on() -> None:
    injector = Injector(TOP, BOTTOM, charset_known=True)
    assert injector.feed(b"<!doctype html><html><he") == b"<!doctype html><html>"
    assert injector.feed(b"ad><title>x</title>") == b"<head>"
    assert injector.feed(b"</head><body>first") == TOP + b"<title>x</title></head><body>first"
    assert injector.feed(b"<p>second</p>") == b"<p>second</p>"
    assert injector.feed(b"<!-- a comment of some length") == b"<!-- a comment of"
    assert injector.feed(b" goes on --></bo") == b" some length goes on -->"
    assert injector.feed(b"dy> ") == b""
    assert injector.finish() == BOTTOM + b"</body> "


def test_a_head_without_end_is_held_back_for_16_kib_at_most() -> None:
    injector = Injector(TOP, charset_known=True)
    line = b"<link rel=x href=y>"
    fed = passed = most = 0
    for chunk in [b"<html><head>", *[line] * 2000]:
        fed += len(chunk)
        passed += len(injector.feed(chunk))
        most = max(most, fed - passed)
    assert injector.placed
    assert 16000 < most <= 16384


def test_a_body_end_is_held_back_for_16_kib_at_most() -> None:
    start = b"<html><head></head><body>"
    filler = b"<p>x</p>" * (MAX_HELD_BYTES // 8 + 1)
    page = start + b"</body>" + filler + b"</body>"
    expected = start[:12] + TOP + start[12:] + BOTTOM + b"</body>" + filler + b"</body>"
    assert run(page)[0] == expected
    assert run(page, list(range(1, len(page), 777)))[0] == expected


class TestXhtml:
    START = '<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x" "y">\n<html xmlns="http://www.w3.org/1999/xhtml">'

    @pytest.mark.parametrize(
        "rest",
        [
            "<head>{T}<title>x</title></head><body>y{B}</body></html>",
            "<head>{T}<title/></head><body><script><![CDATA[ </body> ]]></script>{B}</body></html>",
            "<head>{T}<title/></head><body><script/>{B}</body></html>",
            "<head>{T}<title/></head><body><!-- </body> -->{B}</body></html>",
            "<head>{T}<title/></head><!-- nothing behind the end -->",
            "<head/><body></body></html>",
        ],
    )
    def test_it_stays_well_formed(self, rest: str) -> None:
        expected = self.START + rest
        assert run(page_of(expected), xhtml=True)[0] == filled(expected)

    @pytest.mark.parametrize(
        "page",
        [
            "<!DOCTYPE html [ <!ENTITY a 'b'> ]><html><head></head></html>",
            "<h:html><h:head></h:head></h:html>",
            "<HTML><HEAD></HEAD></HTML>",
            "text",
        ],
    )
    def test_unsure_is_left_alone(self, page: str) -> None:
        out, injector = run(page.encode(), xhtml=True)
        assert out == page.encode()
        assert injector.refusal is Refusal.UNSURE


class TestFragment:
    @pytest.mark.parametrize("page", [b"<p>x</p>", b"<title>x</title>", b"text", b"<head></head>"])
    def test_neither_doctype_nor_html(self, page: bytes) -> None:
        out, injector = run(page, needs_document=True)
        assert (out, injector.refusal) == (page, Refusal.FRAGMENT)

    @pytest.mark.parametrize("page", [b"<!doctype html><p>x</p>", b"<html><p>x"])
    def test_either(self, page: bytes) -> None:
        assert run(page, needs_document=True)[1].placed


class TestPolicies:
    PAGE = (
        b'<html><head><title>x</title><META http-equiv="Content-Security-Policy" '
        b'content="script-src &apos;nonce-abc\'; img-src *"></head><body></body></html>'
    )

    def asked(self, page: bytes, answer: tuple[bytes, bytes] | None) -> tuple[bytes, Injector, list[tuple[str, ...]]]:
        seen: list[tuple[str, ...]] = []

        def on_policies(policies: tuple[str, ...]) -> tuple[bytes, bytes] | None:
            seen.append(policies)
            return answer

        out, injector = run(page, bottom=b"", charset_known=True, on_policies=on_policies)
        return out, injector, seen

    def test_asked_with_what_the_page_says(self) -> None:
        out, injector, seen = self.asked(self.PAGE, (b"<!--N-->", b"<!--M-->"))
        assert seen == [("script-src 'nonce-abc'; img-src *",)]
        assert out == self.PAGE.replace(b"<head>", b"<head><!--N-->").replace(b"</body>", b"<!--M--></body>")
        assert injector.placed

    def test_forbidden(self) -> None:
        out, injector, _ = self.asked(self.PAGE, None)
        assert (out, injector.refusal) == (self.PAGE, Refusal.CSP)

    @pytest.mark.parametrize(
        "page",
        [
            PAGE.replace(b"Content-Security-Policy", b"Content-Security-Policy-Report-Only"),
            PAGE.replace(b"<title>x</title>", b"<!--").replace(b"</head>", b"--></head>"),
            PAGE.replace(b"<title>x</title>", b"<template>").replace(b"</head>", b"</template></head>"),
            PAGE.replace(b"<title>x</title>", b"<script>'").replace(b"</head>", b"'</script></head>"),
            PAGE.replace(b"<title>x</title>", b"</head>"),
            PAGE.replace(b"<title>x</title>", b"<p>"),
        ],
    )
    def test_none_in_force(self, page: bytes) -> None:
        out, injector, seen = self.asked(page, None)
        assert not seen
        assert injector.placed
        assert out == page.replace(b"<head>", b"<head>" + TOP)

    def test_one_behind_a_script_that_writes_a_head(self) -> None:
        page = self.PAGE.replace(b"<title>x</title>", b"<script>write('</head><body>')</script><!-- </head> -->")
        assert self.asked(page, None)[1].refusal is Refusal.CSP


class TestSkipIf:
    def test_a_match_anywhere(self) -> None:
        page = b"<html><head></head><body><!-- no-record --></body></html>"
        out, injector = run(page, [10, 30], skip_if=re.compile(b"no-.ecord"))
        assert (out, injector.refusal) == (page, Refusal.SKIPPED)

    def test_no_match(self) -> None:
        expected = "<html><head>{T}</head><body>{B}</body></html>"
        assert run(page_of(expected), [10, 30], skip_if=re.compile(b"no-.ecord"))[0] == filled(expected)

    def test_too_large_to_tell(self) -> None:
        page = b"<html><head></head><body></body></html>"
        out, injector = run(page, [10, 30], skip_if=re.compile(b"x"), limit_bytes=20)
        assert (out, injector.refusal) == (page, Refusal.SKIPPED)


@pytest.mark.parametrize("page", ["\ufeff<html><head></head>".encode(code) for code in ("utf-16-le", "utf-16-be")])
def test_utf_16_is_left_alone(page: bytes) -> None:
    out, injector = run(page, [1])
    assert (out, injector.refusal) == (page, Refusal.CHARSET)


def test_an_error_of_ours_is_not_the_visitors() -> None:
    def broken(policies: tuple[str, ...]) -> tuple[bytes, bytes] | None:
        raise RuntimeError

    out, injector = run(TestPolicies.PAGE, [20, 40], on_policies=broken)
    assert (out, injector.refusal, injector.placed) == (TestPolicies.PAGE, Refusal.FAILED, False)


def test_the_default_tag_is_taken_for_ours() -> None:
    tag = default_tag("t", "u", "s", None, False)
    page = b"<html><head>" + tag + b"</head><body></body></html>"
    assert run(page)[1].refusal is Refusal.MARKED
