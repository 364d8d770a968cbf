"""The parts removed from copies; everything else stays the same."""

from __future__ import annotations

from collections import Counter
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.redaction import Masks, RedactionError, redact
from lbcompanion.settings import CaptureTable

MASKS = Masks(["input[type=password]", "input[autocomplete^='cc-']", ".secret", "textarea", "meta[name=csrf]"])


@pytest.mark.parametrize(
    ("page", "copy"),
    [
        (b"a<!-- lbc:exclude -->b<!-- /lbc:exclude -->c", b"ac"),
        (b"a<!--lbc:exclude-->b<!--/lbc:exclude-->c", b"ac"),
        (b"a<!-- LBC:exclude -->b<!-- /lbc:EXCLUDE -->c", b"ac"),
        (b"a<!-- lbc:exclude -->b<!-- /lbc:exclude -->c<!-- lbc:exclude -->d<!-- /lbc:exclude -->e", b"ace"),
        (b"a<!-- lbc:exclude -->b<!-- lbc:exclude -->c<!-- /lbc:exclude -->d<!-- /lbc:exclude -->e", b"ae"),
        (b"a<!-- lbc:exclude -->b<!-- lbc:exclude -->c<!-- /lbc:exclude -->d", b"a"),
        (b"a<!-- lbc:exclude -->b", b"a"),
        (b"a<!-- /lbc:exclude -->b", b"a<!-- /lbc:exclude -->b"),
        (b"a<!-- lbc:excluded -->b", b"a<!-- lbc:excluded -->b"),
        (b"lbc:exclude", b"lbc:exclude"),
    ],
)
def test_excluded_blocks(page: bytes, copy: bytes) -> None:
    assert redact(page, exclude_blocks=True, masks=None) == copy
    assert redact(page, exclude_blocks=True, masks=MASKS) == copy
    assert redact(page, exclude_blocks=False, masks=None) == page


@pytest.mark.parametrize(
    "tag",
    [
        b"<input type=password value=SECRET>",
        b"<INPUT value='SECRET' TYPE='Password'/>",
        b"<input autocomplete=cc-number value=SECRET>",
        b'<input autocomplete="section-a billing CC-CSC" value="SECRET">',
        b"<form><table><input autocomplete='\nshipping cc-exp' value=SECRET>",
    ],
)
def test_what_is_masked_by_default(tag: bytes) -> None:
    assert b"SECRET" not in redact(
        b"<!doctype html><title>x</title>" + tag, exclude_blocks=True, masks=Masks(CaptureTable().mask)
    )


@pytest.mark.parametrize(
    ("page", "copy"),
    [
        (b'<p >\xff<INPUT TYPE="Password"  VALUE=x>&nbsp;\x00', b'<p >\xff<INPUT TYPE="Password" VALUE="">&nbsp;\x00'),
        (b"<input type=password>x", b"<input type=password>x"),
        (b"<input autocomplete=cc-number value='4111'>", b'<input autocomplete=cc-number value="">'),
        (b"<div class='a secret'>x<b>y</b><div>z</div></div>e", b"<div class='a secret'></div>e"),
        (b"<textarea name=a>x</textarea >", b"<textarea name=a></textarea >"),
        (b"<meta name=csrf content=x>", b'<meta name=csrf content="">'),
        (b"<noscript><input type=password value=x></noscript>", b'<noscript><input type=password value=""></noscript>'),
    ],
)
def test_masks(page: bytes, copy: bytes) -> None:
    assert redact(page, exclude_blocks=True, masks=MASKS) == copy


PLAIN = [
    b"",
    b"<p >\xff<INPUT TYPE=text  VALUE=x>&nbsp;\x00<br/><Br><a b='c'd>",
    b"password autocomplete cc- input type secret <input type=text autocomplete=off>",
    b"<script>'<input type=password value=x>'</script><!-- <input type=password> -->",
]


@pytest.mark.parametrize("page", PLAIN)
def test_a_page_where_nothing_matches_is_given_back(page: bytes) -> None:
    assert redact(page, exclude_blocks=True, masks=MASKS) is page


def test_a_mask_and_a_block_together() -> None:
    page = b"<i class=secret>a</i><!-- lbc:exclude -->b<!-- /lbc:exclude --><i class=secret>c</i>"
    assert redact(page, exclude_blocks=True, masks=MASKS) == b"<i class=secret></i><i class=secret></i>"
    inside = b"<div class=secret>a<!-- lbc:exclude -->b<!-- /lbc:exclude -->c</div>d"
    assert redact(inside, exclude_blocks=True, masks=MASKS) == b"<div class=secret></div>d"


@pytest.mark.parametrize(
    "page",
    [
        b"<div class=secret><!-- lbc:exclude -->a</div>b<!-- /lbc:exclude -->c",
        b"<!-- lbc:exclude --><div class=secret>a<!-- /lbc:exclude --></div>",
    ],
)
def test_what_overlaps_gives_no_copy(page: bytes) -> None:
    with pytest.raises(RedactionError):
        redact(page, exclude_blocks=True, masks=MASKS)


def test_a_failing_engine_gives_no_copy() -> None:
    with pytest.raises(RedactionError) as caught:
        redact(b"<select><xmp><input type=password value=hidden></xmp></select>", exclude_blocks=True, masks=MASKS)
    assert "hidden" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be", "iso2022_jp"])
def test_other_encodings(codec: str) -> None:
    charset = {"iso2022_jp": "iso-2022-jp"}.get(codec, codec.replace("16-", "16"))
    page = "<p>\u65e5\u672c</p><input type=password value=x><!-- lbc:exclude -->y<!-- /lbc:exclude -->".encode(codec)
    copy = redact(page, exclude_blocks=True, masks=MASKS, charset=charset)
    assert copy.decode(codec).lstrip("\ufeff") == '<p>\u65e5\u672c</p><input type=password value="">'
    if codec == "utf-16":
        assert redact(page, exclude_blocks=True, masks=MASKS) == copy
    nothing = "<p>\u65e5\u672c</p>".encode(codec)
    assert redact(nothing, exclude_blocks=True, masks=MASKS, charset=charset) is nothing


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>a</p>", {}),
        ("<input type=password><i class=secret></i>", {}),
        ("<input type=password value=x><i class=secret>y</i><i class=secret title=z></i>", {"elements": 3}),
        ("<div class=secret>a<i class=secret>b</i></div>", {"elements": 1}),
        ("<input type=&#112;assword value=x>", {"elements": 1}),
        ("<input type=&#112;assword><input type=password>", {}),
        ("<b>c</b><!-- lbc:exclude -->a<!-- /lbc:exclude -->b<!-- lbc:exclude -->", {"blocks": 2}),
        ("<!-- lbc:exclude --><i class=secret>y</i><!-- /lbc:exclude -->", {"elements": 1, "blocks": 1}),
        ("<noscript><i class=secret>y</i></noscript>", {"elements": 1}),
        ('<iframe srcdoc="<i class=secret>y</i>"></iframe>', {"elements": 1}),
    ],
)
def test_what_is_removed_is_counted(page: str, expected: dict[str, int]) -> None:
    long = f"<div>{page}</div>" if page.endswith("exclude -->") else page + "<p>end</p>" * 50
    for body, charset in ((page.encode(), "utf-8"), (page.encode("utf-16"), "utf-16"), (long.encode(), "utf-8")):
        removed: Counter[str] = Counter()
        copy = redact(body, exclude_blocks=True, masks=MASKS, charset=charset, removed=removed)
        assert removed == expected
        if "&#" not in page:  # a reference in a masked tag is written as its character
            assert (copy is body) is (not expected)


def test_documents_that_are_too_deep_are_counted() -> None:
    page = "<i class=secret></i>"
    for _ in range(5):
        page = f'<iframe srcdoc="{escape(page)}"></iframe>'
    removed: Counter[str] = Counter()
    redact(page.encode(), exclude_blocks=True, masks=MASKS, charset="utf-8", removed=removed)
    assert removed == {"documents": 1}


def test_a_page_not_in_its_encoding_gives_no_copy() -> None:
    with pytest.raises(RedactionError):
        redact(b"\xff\xfea", exclude_blocks=True, masks=MASKS, charset="utf-16")


@pytest.mark.parametrize("selector", ["input[", "a::before", ":has(a)", "", ">"])
def test_an_invalid_selector(selector: str) -> None:
    with pytest.raises(ValueError, match="mask"):
        Masks([selector])


@pytest.mark.parametrize(
    ("selector", "page"),
    [
        ("a:not(.b)", b"<a>x</a>"),
        ("#x > b.y", b"<p id=x><b class=y>x</b>"),
        ("[data-a='V' i]", b"<b data-a=v>x</b>"),
        ("*", b"<q>x</q>"),
        ("p b", b"<P><B>x</B>"),
        ("a, b", b"<b>x</b>"),
    ],
)
def test_no_selector_is_left_out_by_its_words(selector: str, page: bytes) -> None:
    assert b"x<" not in redact(page, exclude_blocks=True, masks=Masks([selector]))


@given(st.lists(st.sampled_from([b"<!-- lbc:exclude -->", b"<!-- /lbc:exclude -->", b"k", b"<p>"])))
def test_blocks_nest(parts: list[bytes]) -> None:
    depth, expected = 0, []
    for part in parts:
        if b" lbc" in part:
            depth += 1
        elif b"/lbc" in part and depth:
            depth -= 1
        elif not depth:
            expected.append(part)
    assert redact(b"".join(parts), exclude_blocks=True, masks=None) == b"".join(expected)


@pytest.mark.parametrize("mask", [None, Masks(["[type=password i]"])])
def test_a_block_within_noscript_is_excluded_for_browsers_without_scripts(mask: Masks | None) -> None:
    page = b"<p>a<noscript>b<!-- lbc:exclude -->SECRET<!-- /lbc:exclude -->c</noscript>d"
    assert redact(page, exclude_blocks=True, masks=mask, charset="utf-8") == b"<p>a<noscript>bc</noscript>d"
    unclosed = b"<noscript>b<!-- lbc:exclude -->SECRET</noscript>d"
    assert redact(unclosed, exclude_blocks=True, masks=mask, charset="utf-8") == b"<noscript>b</noscript>d"
    # With scripts on it is text: it neither ends nor begins a block outside.
    around = b"a<!-- lbc:exclude --><noscript><!-- /lbc:exclude --></noscript>SECRET<!-- /lbc:exclude -->b"
    assert redact(around, exclude_blocks=True, masks=mask, charset="utf-8") == b"ab"
