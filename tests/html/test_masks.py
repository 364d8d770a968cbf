"""Masked elements as browsers see them: nothing of what a mask selects is left in the bytes of a copy."""

from __future__ import annotations

import contextlib
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from justhtml import JustHTML

from lbcompanion.html import masks
from lbcompanion.html.masks import KEPT_ATTRIBUTES, Masks, RedactionError, bare_tag
from lbcompanion.html.redaction import redact
from lbcompanion.settings import CaptureTable

DEFAULT = Masks(CaptureTable().mask)
MASKS = Masks([*CaptureTable().mask, ".secret", "[data-secret]", "p > .inner"])


@pytest.mark.parametrize(
    "page",
    [
        "<select autocomplete=cc-exp-month><option value=SECRET selected>SECRET</option></select>",
        "<textarea autocomplete='billing cc-number'>SECRET</textarea>",
        "<output autocomplete=CC-NUMBER>SECRET</output>",
        "<input type=password placeholder=SECRET data-initial=SECRET defaultValue=SECRET>",
        "<input type=password title=SECRET aria-valuetext=SECRET onchange=\"f('SECRET')\" style='--a: SECRET'>",
        "<input type=password value=a value=SECRET VALUE='SECRET' Value=SECRET>",
        "<input type=password type=SECRET>",
        "<input value=SECRET value=a type=password>",
        "<input\ntype\n=\n'PassWord'\nvalue\n=\nSECRET\n/>",
        "<input/type='password'/value=SECRET/>",
        'a<input type="&#112;assword" value=SECRET>',
        "<input type=&#x70;&#X61;ss&#000119ord value=SECRET>",
        "<input autocomplete='&#99;c-number' value=SECRET>",
        "<input autocomplete=cc&#45;number value=SECRET>",
        "<p class='a&Tab;secret'>SECRET</p>",
        '<iframe srcdoc="<input type=password value=SECRET>"></iframe>',
        "<iframe srcdoc='&lt;input type=&amp;#112;assword value=SECRET>'></iframe>",
        "<iframe srcdoc='a' SRCDOC='<input type=password value=SECRET>'></iframe>",
        "<iframe srcdoc='<iframe srcdoc=&quot;&lt;input type=password value=SECRET>&quot;>'></iframe>",
        "<noscript><iframe srcdoc='<input type=password value=SECRET>'></iframe></noscript>",
        "<svg><foreignObject><input type=password value=SECRET></foreignObject></svg>",
        "<svg><input type=password value=SECRET></svg>",
        "<svg><style><input type=password value=SECRET></style></svg>",
        "<svg><desc><p><input type=password value=SECRET></desc></svg>",
        "<math><mtext><input type=password value=SECRET></mtext></math>",
        "<template><input type=password value=SECRET></template>",
        "<template shadowrootmode=open><input type=password value=SECRET></template>",
        "<noscript><input type=password value=SECRET></noscript>",
        "<noscript title='<>'><input type=password value=SECRET></noscript>",
        "<noscript><p class=secret>SECRET",
        "<input is=my-input type=password value=SECRET>",
        "<my-input type=password value=SECRET>SECRET<b>SECRET</b></my-input>",
        "<div contenteditable autocomplete=cc-number>SECRET</div>",
        "<table><tr><input type=password value=SECRET><td class=secret>SECRET<tr></table>",
        "<form><input type=hidden><input type=password value=SECRET></form>",
        "<img class=secret src=/SECRET alt=SECRET srcset=SECRET>",
        "<b data-secret=SECRET>SECRET</b>",
        "<body class=secret>SECRET</body>SECRET",
        "<div class=secret>SECRET",
    ],
)
def test_nothing_of_a_masked_element_is_left(page: str) -> None:
    assert b"SECRET" not in redact(
        f"<!doctype html><title>x</title>{page}".encode(), exclude_blocks=True, masks=MASKS, charset="utf-8"
    )


@pytest.mark.parametrize(
    "page",
    [
        "<span class=secret><div>a</span>SECRET</div></span>",
        "<div class=secret><table><tr><td>a</div>SECRET</table></div>",
        "<div><b class=secret>a</div>SECRET",
        "<div class=secret><p><div>a</p></div>SECRET</div>",
        "<form class=secret><div></form>SECRET</div>",
        "<div class=secret><template>a</div>SECRET</template></div>",
        "<div><table><tr><td><span class=secret>a</div>SECRET</span></table></div>",
    ],
)
def test_an_extent_that_is_not_certain_gives_no_copy(page: str) -> None:
    with pytest.raises(RedactionError, match="a masked element is not closed"):
        redact(page.encode(), exclude_blocks=True, masks=MASKS, charset="utf-8")


@pytest.mark.parametrize(
    "page",
    [
        "<svg/><![CDATA[<p>SECRET",
        "<svg class='a>b' /><p><![CDATA[SECRET",
        "<math/><option><![CDATA[<a title='SECRET",
        "<svg/><style><!--</style>SECRET",
        "<svg/><a><title><b title='</title>SECRET",
        "<math><mi><mglyph><noframes>SECRET",
        "<math><svg><title>]]><style>SECRET",
        "<math><p><script></script>SECRET",
    ],
)
@pytest.mark.parametrize(
    "secret",
    ["<input type=password value=SECRET>", "<div class=secret>SECRET</div>", "<iframe srcdoc='SECRET'></iframe>"],
)
def test_foreign_content_that_the_rewriter_reads_otherwise_gives_no_copy(page: str, secret: str) -> None:
    with pytest.raises(RedactionError, match="svg or math"):
        redact(page.replace("SECRET", secret).encode(), exclude_blocks=True, masks=MASKS, charset="utf-8")


@pytest.mark.parametrize(
    "page",
    [
        "<svg/><p><style>a{}</style>SECRET",
        "<svg viewBox='0 0 1 1'><style><![CDATA[a{}]]></style><title>x</title></svg>SECRET",
        "<math><mi>x</mi><mtext>y</mtext></math><script></script>SECRET",
        "<svg><path d='M0 0'/></svg><textarea></textarea>SECRET",
    ],
)
def test_usual_foreign_content_has_its_copy(page: str) -> None:
    plain = page.replace("SECRET", "<input type=password value=x>").encode()
    assert redact(plain, exclude_blocks=True, masks=MASKS, charset="utf-8") == plain.replace(b"value=x", b'value=""')


@pytest.mark.parametrize(
    "page",
    [
        "<a href='mailto:&#112;&#97;&#115;'>password type autocomplete cc-</a><input type=text>",
        "<input type='password2'><p class='secrets'>x</p><b title='type=password'>",
        "<iframe srcdoc='<p>&amp;lt; password type</p>'></iframe>",
        "<noscript>a<p>password type</noscript>",
        "<script>'<input type=password value=x>'</script><textarea><input type=password value=x></textarea>",
    ],
)
def test_what_no_mask_selects_stays(page: str) -> None:
    assert redact(page.encode(), exclude_blocks=True, masks=MASKS, charset="utf-8") == page.encode()


def test_what_is_not_masked_stays_byte_for_byte_beside_references() -> None:
    page = b"<p  class = '&#115;ome'  id=a>x</p><b class=\"&#115;ecret\"  title=y>z</b>\xff"
    assert (
        redact(page, exclude_blocks=True, masks=MASKS, charset="utf-8")
        == b"<p  class = '&#115;ome'  id=a>x</p><b class=\"secret\"></b>\xff"
    )


@pytest.mark.parametrize(
    ("tag", "bare"),
    [
        (b"<input type=a>", b"<input type=a>"),
        (b"<Input  Type=a VALUE=b checked>", b'<Input Type=a VALUE="">'),
        (b"<input value>", b"<input value>"),
        (b"<input value='' value=b>", b"<input value=''>"),
        (b"<input value=b/>", b'<input value="">'),
        (b"<input value='b'/>", b'<input value="" />'),
        (b"<x:y xmlns:x='u' x:z=a>", b"<x:y xmlns:x='u'>"),
        (b'<input =a "b c<d=e type=f>', b"<input type=f>"),
    ],
)
def test_bare_tag(tag: bytes, bare: bytes) -> None:
    assert bare_tag(tag) == bare


def test_selectors_beyond_ascii_are_compared_in_the_page_s_encoding() -> None:
    masks = Masks(["[name='stra\xdfe']"])
    page = "<input name='stra\xdfe' value=SECRET>\xe4"
    for charset in ("utf-8", "windows-1252", "utf-16le"):
        copy = redact(page.encode(charset), exclude_blocks=True, masks=masks, charset=charset)
        assert copy.decode(charset) == "<input name='stra\xdfe' value=\"\">\xe4"


@pytest.mark.slow
def test_end_tags_without_an_element_take_no_long_time() -> None:
    page = b"<b>" * 40_000 + b"</i>" * 40_000 + b"<input type=password value=x>"
    with pytest.raises(RedactionError, match="too many end tags"):
        redact(page, exclude_blocks=True, masks=DEFAULT, charset="utf-8")
    fine = b"<b></b></i>" * 40_000 + b"<input type=password value=x>"
    assert redact(fine, exclude_blocks=True, masks=DEFAULT, charset="utf-8") == fine.replace(b"value=x", b'value=""')


@pytest.mark.parametrize("end", [b"", b"</div>"])
@pytest.mark.slow
def test_very_many_masked_elements_give_no_copy(end: bytes) -> None:
    page = b"<div class=secret>" * 5001 + end * 5001
    with pytest.raises(RedactionError, match="more than 5000 elements"):
        redact(page, exclude_blocks=True, masks=MASKS, charset="utf-8")
    assert (
        redact(b"<p class=secret title=x></p>" * 5000, exclude_blocks=True, masks=MASKS, charset="utf-8")
        == b"<p class=secret></p>" * 5000
    )


@pytest.mark.slow
def test_many_documents_within_a_page_give_no_copy() -> None:
    page = b"<noscript><input type=password></noscript>" * 1000
    with pytest.raises(RedactionError, match="too many documents"):
        redact(page, exclude_blocks=True, masks=DEFAULT, charset="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "unit",
    [
        b"<input type=password value=x>",
        b"<p class=secret>x",
        b"<i class=secret><b></i>",
        b"<p title='&#112;'>",
        b"<svg/>",
        b"<math>",
        b"<svg/><p>",
    ],
)
def test_time_grows_with_the_page(unit: bytes) -> None:
    def cpu(count: int) -> float:
        page = unit * count + b"<input type=password>"
        started = time.process_time()
        with contextlib.suppress(RedactionError):
            redact(page, exclude_blocks=True, masks=MASKS, charset="utf-8")
        return time.process_time() - started

    cpu(100)
    assert cpu(40_000) < 10 * cpu(10_000) + 0.1


# A page of tags that are closed out of order, and in it numbered secrets.
NAMES = """
div span p b a table tr td ul li form select option svg foreignObject title template noscript button h1
"""
ATTRIBUTES = [
    "",
    " class=secret",
    " class='x secret'",
    " class=inner",
    " data-secret=S#",
    " title=S#",
    " autocomplete=cc-name",
    " class='&#115;ecret'",
]
INPUTS = [
    "<input type=password value=S#>",
    "<input type='PASSWORD' value=S# value=S#>",
    "<input type=text value=S#>",
    "<input type='&#112;assword' placeholder=S#>",
    "<textarea autocomplete=cc-number>S#</textarea>",
    "<iframe srcdoc='<input type=password value=S#>'></iframe>",
]
PIECES = st.one_of(
    st.builds("<{}{}>".format, st.sampled_from(NAMES.split()), st.sampled_from(ATTRIBUTES)),
    st.builds("</{}>".format, st.sampled_from(NAMES.split())),
    st.sampled_from([*INPUTS, "S#", "S#", "<!-- S# -->", "</body>", "<br>"]),
)
_SECRET = re.compile(r"Z\d{3}")
PAGES = st.lists(PIECES, max_size=14).map("".join)


def _numbered(page: str) -> str:
    first, *rest = page.split("S#")
    return first + "".join(f"Z{number:03}{piece}" for number, piece in enumerate(rest))


def _secrets(node: Any, masked: bool, found: set[str]) -> None:
    attributes = {name.lower(): value or "" for name, value in (getattr(node, "attrs", None) or {}).items()}
    if node.name == "#text" and masked:
        found.update(_SECRET.findall(node.data))
    parent = node.parent.name if node.parent is not None else ""
    classes = attributes.get("class", "").split()
    itself = (
        attributes.get("type", "").lower() == "password"
        or "cc-" in attributes.get("autocomplete", "").lower()
        or "secret" in classes
        or "data-secret" in attributes
        or ("inner" in classes and parent == "p")
    )
    masked = masked or itself
    if masked:
        values = [value for name, value in attributes.items() if name not in KEPT_ATTRIBUTES]
        found.update(_SECRET.findall(" ".join(values)))
    elif "srcdoc" in attributes:
        _secrets(JustHTML(attributes["srcdoc"], sanitize=False).root, False, found)
    if getattr(node, "template_content", None) is not None:
        _secrets(node.template_content, masked, found)
    for child in node.children or ():
        _secrets(child, masked, found)


@given(PAGES)
def test_what_a_parser_finds_in_a_masked_place_is_in_no_copy(page: str) -> None:
    page = _numbered(f"<!doctype html><title>x</title>{page}")
    found: set[str] = set()
    _secrets(JustHTML(page, sanitize=False).root, False, found)
    try:
        copy = redact(page.encode(), exclude_blocks=True, masks=MASKS, charset="utf-8").decode()
    except RedactionError:
        return
    assert not [secret for secret in found if secret in copy]


_TOKENS = "<p> </p> <!-- --> <script> </script> <svg> </svg> <textarea> \" ' > < password"
_SOUP = st.lists(
    st.sampled_from(
        [
            *_TOKENS.split(),
            "<a title='",
            '<a title="',
            "<input type=password value=x>",
            "<input type='password' title=it's value=\"a>b\">",
            "<div type=password value=y>text</div>",
            "<textarea autocomplete='cc-number'>x</textarea>",
            "cc-number " + "x" * 60,
        ]
    ),
    max_size=10,
)


@given(_SOUP)
def test_the_rest_of_a_page_behind_the_last_match_is_not_needed(pieces: list[str]) -> None:
    page = "".join((*pieces, "<p>text</p>" * 40)).encode()
    tried = Masks(CaptureTable().mask)
    selectors = tried.candidates(page.lower())
    if not selectors:
        return
    end = tried._end_of_matches(page.lower(), selectors)
    beginning = masks._masked_beginning(page, end, selectors, 100) if end else None
    if beginning is not None:
        assert beginning == masks._masked(page, selectors, 100)


@pytest.mark.parametrize(
    ("selector", "page", "is_used"),
    [
        ("[type=password i]", b"<input type=password value=x>", True),
        ("input.secret", b"<input class=secret value=x>", True),
        ("[data-x='a b'][name]", b"<input name=n data-x='a b' value=x>", True),
        # The words are those of another element, or there are no words.
        (".secret input", b"<p class=secret><input value=x>", False),
        ("form > input", b"<form><input value=x></form>", False),
        ("*", b"<input value=x>", False),
        # The tag does not end where it seems to end, or the element has content.
        ("[type=password i]", b"<input type=password title='a>b' value=x>", False),
        ("[type=password i]", b"<!-- password>--><input type=text>", False),
        (".secret", b"<p class=secret>x</p>", False),
    ],
)
def test_when_only_the_beginning_of_a_page_is_rewritten(selector: str, page: bytes, is_used: bool) -> None:
    tried = Masks((selector,))
    whole = page + b"<p>text</p>" * 40
    end = tried._end_of_matches(whole, [selector])
    beginning = masks._masked_beginning(whole, end, [selector], 100) if end else None
    assert (beginning is not None) == is_used
    assert tried.apply(whole, [selector]) == masks._masked(whole, [selector], 100)
