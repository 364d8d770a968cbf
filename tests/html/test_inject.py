"""Where the snippets go, page by page: ``{T}`` and ``{B}`` stand in the pages where they are expected."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.anchors import Anchor, Anchors
from lbcompanion.html.bottom import MAX_HELD_BYTES
from lbcompanion.html.inject import Injector
from lbcompanion.html.refusal import Refusal
from lbcompanion.html.snippets import default_tag
from tests.html.cases.position import PAGES
from tests.support.html_soups import BOTTOM, SOUPS, TOP, page_of
from tests.support.injecting import WITH_POLICY, filled, run


@pytest.mark.parametrize("expected", PAGES)
def test_where_the_snippets_go(expected: str) -> None:
    out, injector = run(page_of(expected))
    assert out == filled(expected)
    assert injector.placed == ("{T}" in expected)
    assert (injector.refusal is None) == injector.placed


@pytest.mark.slow
@pytest.mark.parametrize("expected", PAGES)
def test_every_single_cut_gives_the_same(expected: str) -> None:
    page = page_of(expected)
    places = range(1, len(page)) if len(page) < 300 else [*range(1, 60), *range(900, len(page), 7)]
    for cut in places:
        assert run(page, [cut])[0] == filled(expected), cut
    if len(page) < 300:
        assert run(page, list(range(1, len(page))))[0] == filled(expected)


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
        "subset",
        [
            "<!ENTITY a '<head>'>",
            '<!ENTITY a "]>"><!ENTITY % b "x"> %b; ',
            "<!-- it's ]> -->",
            "<?x ' ]> ?>",
            "<!ATTLIST html a CDATA #IMPLIED>\n",
            "",
        ],
    )
    def test_an_internal_subset(self, subset: str) -> None:
        expected = f'<!DOCTYPE html [{subset}]>\n<html xmlns="http://www.w3.org/1999/xhtml"><head>{{T}}</head><body>{{B}}</body></html>'
        page = page_of(expected)
        for cuts in ([], [10], list(range(1, len(page)))):
            assert run(page, cuts, xhtml=True)[0] == filled(expected)

    @pytest.mark.parametrize(
        "page",
        [
            "<!DOCTYPE html [ <!ENTITY a 'b'> ]><html><head></head></html>",
            "<!DOCTYPE html [ <!ENTITY a 'b' ><html xmlns='http://www.w3.org/1999/xhtml'><head></head></html>",
            "<html xmlns='http://www.w3.org/2000/svg'><head></head></html>",
            "<?xml version='1.0' encoding='iso-2022-jp'?><html xmlns='http://www.w3.org/1999/xhtml'><head></head></html>",
            "<h:html><h:head></h:head></h:html>",
            "<HTML><HEAD></HEAD></HTML>",
            "text",
        ],
    )
    def test_unsure_is_left_alone(self, page: str) -> None:
        out, injector = run(page.encode(), xhtml=True)
        assert out == page.encode()
        assert injector.refusal in (Refusal.UNSURE, Refusal.CHARSET)


class TestFragment:
    @pytest.mark.parametrize("page", [b"<p>x</p>", b"<title>x</title>", b"text", b"<head></head>"])
    def test_neither_doctype_nor_html(self, page: bytes) -> None:
        out, injector = run(page, needs_document=True)
        assert (out, injector.refusal) == (page, Refusal.FRAGMENT)

    @pytest.mark.parametrize("page", [b"<!doctype html><p>x</p>", b"<html><p>x"])
    def test_either(self, page: bytes) -> None:
        assert run(page, needs_document=True)[1].placed


class TestPolicies:
    PAGE = WITH_POLICY

    def asked(self, page: bytes, answer: tuple[bytes, bytes] | str) -> tuple[bytes, Injector, list[tuple[str, ...]]]:
        seen: list[tuple[str, ...]] = []

        def on_policies(policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
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
        out, injector, _ = self.asked(self.PAGE, "script-src")
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
        out, injector, seen = self.asked(page, "script-src")
        assert not seen
        assert injector.placed
        assert out == page.replace(b"<head>", b"<head>" + TOP)

    def test_one_behind_a_script_that_writes_a_head(self) -> None:
        page = self.PAGE.replace(b"<title>x</title>", b"<script>write('</head><body>')</script><!-- </head> -->")
        assert self.asked(page, "script-src")[1].refusal is Refusal.CSP


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
        assert (out, injector.refusal) == (page, Refusal.LARGE)


class TestUtf16:
    @pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("expected", PAGES)
    def test_as_in_any_other_page(self, expected: str, code: str) -> None:
        if "data-lbc-token=abc" in expected or "\u26a1" in expected or "charset=" in expected:
            return  # what a meta names, and AMP, mean nothing there
        text = expected.removeprefix("\ufeff")
        page = ("\ufeff" + text.replace("{T}", "").replace("{B}", "")).encode(code)
        made = ("\ufeff" + text.replace("{T}", TOP.decode()).replace("{B}", BOTTOM.decode())).encode(code)
        assert run(page, [1, 2, 7])[0] == made
        assert run(page[2:], [1, 3, 8], utf_16=code.replace("-16-", "-16"))[0] == made[2:]

    @pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
    def test_what_is_no_text_stays(self, code: str) -> None:
        start = "\ufeff<html><head>".encode(code)
        rest = b"\xd8\x00x\xdf\xff\x00\xdc\xfe\xfe\xfd" + "\u3c00\U0001f600".encode(code) + b"\n"
        out, injector = run(start + rest, [5, 40])
        assert out == start + TOP.decode().encode(code) + rest[:-1] + BOTTOM.decode().encode(code) + rest[-1:]
        assert injector.placed

    def test_a_byte_order_mark_outdoes_the_header(self) -> None:
        page = b"\xef\xbb\xbf<html><head></head>"
        assert run(page, utf_16="utf-16le")[0] == page[:15] + TOP + page[15:] + BOTTOM

    def test_a_policy_in_a_meta_is_seen(self) -> None:
        page = WITH_POLICY.decode().encode("utf-16-be")
        out, injector = run(page, [3], utf_16="utf-16be", on_policies=lambda policies: "script-src")
        assert (out, injector.refusal, injector.directive) == (page, Refusal.CSP, "script-src")
        out, injector = run(page, [3], utf_16="utf-16be", on_policies=lambda policies: (b"<!--T-->", b""))
        assert out.decode("utf-16-be") == WITH_POLICY.decode().replace("<head>", "<head><!--T-->")

    def test_cut_off(self) -> None:
        page = b"\xff\xfe" + "<html><head><title>".encode("utf-16-le") + b"x"
        injector = Injector(TOP)
        assert injector.feed(page) + injector.held() == page

    def test_skip_if(self) -> None:
        page = b"\xff\xfe" + "<html><head><title>no-record".encode("utf-16-le")
        assert run(page, [1, 5], skip_if=re.compile(b"no-record"))[1].refusal is Refusal.SKIPPED


def anchored(after: str = "", before: str = "") -> Anchor:
    return Anchor(re.compile((after or before).encode()), bool(after))


class TestAnchors:
    @pytest.mark.parametrize(
        ("expected", "top", "bottom"),
        [
            ("<html><head></head><body id=x>{T}<p>y{B}</body>", anchored(after="<body[^>]*>"), None),
            ("<html><head><title>x</title>{T}</head><body>y{B}</body>", anchored(before="</head>"), None),
            ("<html><head>{T}</head><body>a<hr>b<hr>{B}c</body>", None, anchored(after="<hr>")),
            ("<html><head>{T}</head><body>a{B}<footer>b</footer></body>", None, anchored(before="<footer>")),
            ("<html><head></head><body>{T}<i>{B}</i></body>", anchored(before="<i>"), anchored(after="<i>")),
            ("<html><head></head><body>{T}{B}<i></i></body>", anchored(before="<i>"), anchored(before="<i>")),
            # In a comment, a string, an attribute, a template it is none.
            ("<html><head><!-- <b> --></head><body><b>{T}</b>{B}</body>", anchored(after="<b>"), None),
            ("<html><head><script>'<b>'</script></head><body><b>{T}</b>{B}</body>", anchored(after="<b>"), None),
            ("<html><head><title><b></title></head><body><b>{T}</b>{B}</body>", anchored(after="<b>"), None),
            ('<html><head></head><body title="<b>"><b>{T}</b>{B}</body>', anchored(after="<b>"), None),
            ("<html><head><template><b></template></head><body><b>{T}</b>{B}", anchored(after="<b>"), None),
            ("<html><head></head><body><svg><b1></svg><b1>{T}{B}", anchored(after="<b1>"), None),
            ("<html><head></head><body><textarea><b></textarea><b>{T}{B}", anchored(after="<b>"), None),
            ("<html><head>{T}</head><body><b>x{B}</b><!-- <b> --></body>", None, anchored(after="<b>x")),
            # Before the head there is no place, nor is one where no match is: the usual ones.
            ("<!DOCTYPE html><html><head>{T}</head><body>{B}</body>", anchored(before="<!DOCTYPE"), None),
            ("<html><head>{T}</head><body>{B}</body>", anchored(after="<main>"), anchored(before="<main>")),
            ("<html><head><!--" + "y" * 970 + "--><meta charset=utf-8>{T}<p>{B}", anchored(before="<meta"), None),
            ("<html><head></head><frameset>{T}</frameset>".replace("{T}", "").replace("<head>", "<head>{T}"),
             anchored(after="<frameset>"), anchored(after="<frameset>")),
        ],
    )  # fmt: skip
    def test_places(self, expected: str, top: Anchor | None, bottom: Anchor | None) -> None:
        page = page_of(expected)
        anchors = Anchors(top, bottom)
        for cuts in ([], [5, 20], list(range(1, len(page)))):
            out, injector = run(page, cuts, anchors=anchors)
            assert out == filled(expected)
            assert injector.placed

    def test_a_page_left_alone_for_another_reason(self) -> None:
        page = b"<html amp><head></head><body></body></html>"
        assert run(page, anchors=Anchors(anchored(after="<body>")))[0] == page

    def test_too_large(self) -> None:
        page = b"<html><head></head><body></body></html>"
        out, injector = run(page, [10], anchors=Anchors(anchored(after="<body>")), limit_bytes=20)
        assert (out, injector.refusal) == (page, Refusal.LARGE)


def test_an_error_of_ours_is_not_the_visitors() -> None:
    def broken(policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
        raise RuntimeError

    out, injector = run(WITH_POLICY, [20, 40], on_policies=broken)
    assert (out, injector.refusal, injector.placed) == (WITH_POLICY, Refusal.FAILED, False)


def test_the_default_tag_is_taken_for_ours() -> None:
    tag = default_tag("t", "u", "s", None, False)
    page = b"<html><head>" + tag + b"</head><body></body></html>"
    assert run(page)[1].refusal is Refusal.MARKED
