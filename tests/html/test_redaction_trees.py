"""What masks and excluded blocks leave in a copy, judged by another parser's tree: near svg and math, where end tags of
HTML, CDATA sections and raw text are read otherwise, and near elements that the parser moves or closes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.redaction import Masks, RedactionError, redact

pytestmark = pytest.mark.slow

MASKS = Masks(["[type=password i]", ".secret"])
# Each secret has a number of its own, so that the copy shows which ones are left.
PIECES = """
<span> </span> <section> </section> <div> </div> <b> </b> <td> </td> <table> </table> <form> </form> <p> </p>
<img> <svg> </svg> <svg/> <math> </math> <math/> <g> </g> <mi> </mi> <desc> </desc> <foreignObject>
</foreignObject> <template> </template> <![CDATA[ ]]> <title> </title> <script> </script> <style> </style>
<textarea> </textarea> <select> </select> <option> <mtext> <annotation-xml>
<annotation-xml\tencoding=text/html> <mglyph> <noscript> </noscript> <!-- --> <p\tclass=secret>
<input\ttype=password\tvalue=S#> <input\tvalue=S#\ttype=password> <b\tclass=secret>S#</b>
<div\tclass=secret>S#</div> <svg\tclass=secret>S#</svg> <g\tclass=secret>S#</g> <td\tclass=secret>S#</td>
<textarea\tclass=secret>S#</textarea> <!--\tlbc:exclude\t-->S#<!--\t/lbc:exclude\t-->
<title\tclass=secret>S#</title> <span><svg><svg></svg></span>
"""
SOUPS = st.lists(
    st.sampled_from([piece.replace("\t", " ") for piece in PIECES.split(" ") for piece in piece.split("\n") if piece]),
    max_size=12,
)


def _page(pieces: list[str]) -> bytes:
    numbers = iter(range(1000))
    text = "".join(pieces)
    return b"<!doctype html><html><head></head><body>" + re.sub("#", lambda _: f"{next(numbers)}E", text).encode()


def _walk(node: Any) -> Iterator[Any]:
    pending = [node]
    while pending:
        each = pending.pop()
        yield each
        pending += [child for child in (getattr(each, "template_content", None), *(each.children or ())) if child]


def _masked_secrets(page: bytes) -> set[bytes]:
    """The secrets in elements that a browser would find with the selectors."""
    from justhtml import JustHTML  # 0.3 s; no quick test reads a document

    found: set[bytes] = set()
    for node in _walk(JustHTML(page, sanitize=False, encoding="utf-8").root):
        attributes = getattr(node, "attrs", None) or {}
        if str(attributes.get("type", "")).lower() == "password":
            found |= set(re.findall(rb"S[0-9]+E", str(attributes.get("value", "")).encode()))
        if "secret" in str(attributes.get("class", "")).split():
            for inner in _walk(node):
                if inner.name == "#text":
                    found |= set(re.findall(rb"S[0-9]+E", str(inner.data).encode()))
    return found


def _check(page: bytes) -> bool:
    """Check that no masked secret is in the copy; return whether there is a copy."""
    try:
        copy = redact(page, exclude_blocks=True, masks=MASKS, charset="utf-8")
    except RedactionError:
        return False
    left = {secret for secret in _masked_secrets(page) if secret in copy}
    assert not left, (page, copy, left)
    return True


@given(SOUPS)
def test_what_a_browser_would_mask_is_not_in_the_copy(pieces: list[str]) -> None:
    _check(_page(pieces))


@pytest.mark.parametrize(
    "around", ["{}", "<div>{}</div>", "<table><td>{}", "<section>{}<p>", "<template>{}</template>"]
)
@pytest.mark.parametrize(
    "piece",
    [
        "<span><svg><svg></svg></span>",
        "<span><math><math></math></span>",
        "<b><svg><svg></svg></b>",
        "<div><svg><svg></svg></div>",
        "<span><svg><desc><svg></svg></span>",
        "<svg></span><svg></svg>",
        "<span><svg><g></span>",
        "<svg><math></svg>",
        "<math><svg></math>",
        "<span><svg><svg></svg></span></math>",
        "<svg><svg><p>",
        "<svg><svg></p>",
        "<svg><svg><font color=red>",
        "<svg><g><svg></g></svg>",
        "<svg><desc></svg></desc>",
        "<svg><desc><p></desc>",
        "<svg><title></math><mtext><title>x</title><form>",
    ],
)
def test_masks_behind_a_tag_that_leaves_svg(around: str, piece: str) -> None:
    secrets = (
        "<input type=password value=S#><![CDATA[<b class=secret>S#</b>]]><p class=secret>S#</p>"
        "<title class=secret>S#</title><![CDATA[><b class=secret>S#</b>]]>"
    )
    page = _page([around.format(piece + secrets)])
    assert _masked_secrets(page)
    _check(page)


@pytest.mark.parametrize("opened", ["<svg><desc>", "<svg><title>", "<math><mi>", "<svg><foreignObject>", "<svg>"])
def test_masks_behind_a_cdata_section_that_browsers_read_otherwise(opened: str) -> None:
    page = _page([f"{opened}<![CDATA[><!--]]><b class=secret>S#</b>-->"])
    assert _masked_secrets(page)
    _check(page)


_OUTER = "<svg><input type=password> <math><img class=secret> <div class=secret> <p><section class=secret>"
_INNER = "<p class=secret> <b class=secret> <g><div class=secret></g> <a class=secret>x"


@pytest.mark.parametrize("outer", re.split(" (?=<)", _OUTER))
@pytest.mark.parametrize("inner", re.split(" (?=<)", _INNER))
def test_a_masked_element_that_outlasts_the_one_around_it(outer: str, inner: str) -> None:
    name = next(each for each in ("svg", "math", "div", "section") if f"<{each}" in outer)
    page = _page([f"{outer}{inner}</{name}>S#<textarea>S#"])
    _check(page)


_ELEMENTS = "title desc foreignObject font g text mi mtext annotation-xml textarea style input"


@pytest.mark.parametrize("element", _ELEMENTS.split())
@pytest.mark.parametrize("before", ["", "<g></g>", "<path></path>", "<desc></desc>", "<mi></mi>", "<g><a></a></g>"])
@pytest.mark.parametrize("root", ["svg", "math"])
def test_an_element_within_svg_is_masked_whatever_was_closed_before_it(root: str, before: str, element: str) -> None:
    secret = f'<{element} class=secret type=password value="S#">S#</{element}>'
    page = _page([f"<p><{root}>{before}{secret}</{root}><p>end"])
    assert _masked_secrets(page)
    _check(page)


def test_svg_as_icons_have_it_is_kept() -> None:
    icon = '<svg viewBox="0 0 1 1"><title>a</title><g><path d="M0"/></path><use href="#a"></g></svg>'
    assert _check(_page([f"<div><a><span>{icon}</span></a><form><input type=password value=S#></form></div>{icon}"]))
