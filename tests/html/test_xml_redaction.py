"""Masks and excluded blocks in XHTML: nothing is left, nothing else is touched, and the copy is XML as before."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.masks import Masks, RedactionError
from lbcompanion.html.redaction import redact
from lbcompanion.settings import CaptureTable

MASKS = Masks([*CaptureTable().mask, ".secret", "div > b"])
HEAD = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body>'
START, END = "<!-- lbc:exclude -->", "<!-- /lbc:exclude -->"


def redacted(page: str, codec: str = "utf-8", charset: str | None = None) -> str:
    return redact(page.encode(codec), exclude_blocks=True, masks=MASKS, charset=charset, xhtml=True).decode(codec)


@pytest.mark.parametrize(
    ("written", "copy"),
    [
        ('<script src="x"/><input type="password" value="SECRET"/>',
         '<script src="x"/><input type="password" value="" />'),
        ('<title/><input type="password" value="SECRET"/>', '<title/><input type="password" value="" />'),
        ('<textarea/><b class="secret">SECRET</b>', '<textarea/><b class="secret"></b>'),
        (
            '<script><![CDATA[ </script> <!-- ]]></script><b class="secret">SECRET</b>',
            '<script><![CDATA[ </script> <!-- ]]></script><b class="secret"></b>',
        ),
        (
            '<h:input xmlns:h="http://www.w3.org/1999/xhtml" type="password" value="SECRET"/>',
            '<h:input xmlns:h="http://www.w3.org/1999/xhtml" type="password" value="" />',
        ),
        ('<input type="&#112;assword" value="SECRET"/>', '<input type="&#112;assword" value="" />'),
        ("<div><br><b>SECRET<i>SECRET</i></b></br><b>SECRET</b></div>", "<div><br><b></b></br><b></b></div>"),
        ('<b class="secret"><![CDATA[</b>SECRET]]></b>c', '<b class="secret"></b>c'),
        ('<b class="secret" title=">SECRET">SECRET</b>', '<b class="secret"></b>'),
        ('<plaintext/><b class="secret">SECRET</b>', '<plaintext/><b class="secret"></b>'),
        ('<iframe srcdoc="&lt;input type=password value=SECRET>"/>',
         '<iframe srcdoc="&lt;input type=password value=&quot;&quot;>"/>'),
        (f"a{START}SECRET<i/>{END}b", "ab"),
        (f'a{START}<i title="&lt;{END[1:]}"/><![CDATA[{END}]]>SECRET{END}b', "ab"),
        (f'<i title="&lt;{START[1:]}"/><![CDATA[{START}]]>b', f'<i title="&lt;{START[1:]}"/><![CDATA[{START}]]>b'),
        (f'{START}<b class="secret">SECRET</b>{END}<b class="secret">{START}SECRET{END}</b>', '<b class="secret"></b>'),
        ("<p>&#160;<b> x </b></p><!-- c --><?p i?>", "<p>&#160;<b> x </b></p><!-- c --><?p i?>"),
    ],
)  # fmt: skip
def test_redacted(written: str, copy: str) -> None:
    page = f"<?xml version='1.0'?>\n{HEAD}{written}</body></html>"
    out = redacted(page)
    assert out == f"<?xml version='1.0'?>\n{HEAD}{copy}</body></html>"
    ElementTree.fromstring(out)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('<input type="password"/><b class="secret"/>', {}),
        ('<input type="password" value="x"/><b class="secret">a<i class="secret">b</i></b>', {"elements": 2}),
        (f'{START}a{END}<b class="secret">{START}b{END}</b>', {"elements": 1, "blocks": 1}),
    ],
)
def test_what_is_removed_is_counted(written: str, expected: dict[str, int]) -> None:
    page = f"{HEAD}{written}</body></html>".encode()
    removed: Counter[str] = Counter()
    redact(page, exclude_blocks=True, masks=MASKS, xhtml=True, removed=removed)
    assert removed == expected


def test_a_block_that_is_not_closed_goes_to_the_end() -> None:
    assert redacted(f"{HEAD}a{START}SECRET</body></html>") == f"{HEAD}a"


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_without_a_declaration(codec: str) -> None:
    page = f'{HEAD}<input type="password" value="SECRET"/></body></html>'
    assert redacted(page, codec) == page.replace('"SECRET"', '"" ')


def test_a_declared_encoding() -> None:
    page = f'<?xml version="1.0" encoding="iso-8859-1"?>{HEAD}\xe4<b class="secret">\xe4</b></body></html>'
    assert redacted(page, "iso-8859-1") == page.replace(">\xe4</b>", "></b>")


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (f'{HEAD}<b class="secret">x</body></html>', "not well-formed"),
        (f'{HEAD}<b class="secret">x</b><br></body></html>', "not well-formed"),
        (f'<!DOCTYPE html [<!ENTITY p "password">]>{HEAD}<i type="&p;"/></body></html>', "has declarations"),
        (f"<!DOCTYPE html [<!ENTITY p \"<i class='secret'/>\">]>{HEAD}&p;</body></html>", "has declarations"),
        (f'<!DOCTYPE html [<!ATTLIST i class CDATA "secret">]>{HEAD}<i/></body></html>', "has declarations"),
        (f'<!DOCTYPE html [<!ENTITY a "sec"><!ENTITY b "&a;ret">]>{HEAD}<i class="&b;"/></body></html>', "too complex"),
        (f'{HEAD}<b class="secret">{START}x</b>{END}</body></html>', "overlap"),
    ],
)
def test_what_cannot_be_judged_gives_no_copy(page: str, why: str) -> None:
    with pytest.raises(RedactionError, match=why):
        redacted(page)


@pytest.mark.parametrize(
    "page",
    [
        f'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "u">{HEAD}&nbsp;password type</body></html>',
        f"<!DOCTYPE html [<!ENTITY a '<i>b</i>'>]>{HEAD}&a;&a;</body></html>",
        f"{HEAD}<b></body></html>",
        f'{HEAD}<input type="text" value="password"/></body></html>',
    ],
)
def test_where_nothing_matches_the_page_is_given_back(page: str) -> None:
    body = page.encode()
    assert redact(body, exclude_blocks=True, masks=MASKS, charset=None, xhtml=True) is body


def test_a_page_not_in_its_encoding_gives_no_copy() -> None:
    with pytest.raises(RedactionError, match="encoding"):
        redact(b"\xff\xfea", exclude_blocks=True, masks=MASKS, charset="utf-16le", xhtml=True)


@pytest.mark.slow
def test_no_entity_makes_a_page_of_any_size() -> None:
    page = f"<!DOCTYPE html [<!ENTITY a '{'<i/>' * 200}'>]>{HEAD}{'&a;' * 100_000}</body></html>"
    with pytest.raises(RedactionError):
        redacted(page)


NAMES = ["b", "div", "script", "title", "br", "svg", "x:y", "plaintext", "select", "template"]
ATTRIBUTES = ["", ' class="secret"', ' class="&#115;ecret"', ' title="SECRET"', ' type="password" value="SECRET"']


def element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda name, attributes, inner: f"<{name}{attributes}>{inner}</{name}>" if inner else f"<{name}{attributes}/>",
        st.sampled_from(NAMES),
        st.sampled_from(ATTRIBUTES),
        st.lists(children, max_size=3).map("".join),
    )


TREES = st.recursive(st.sampled_from(["a", "SECRET", "<![CDATA[<b>]]>", "<!-- </b> -->"]), element, max_leaves=12)


def without_secrets(node: ElementTree.Element) -> None:
    masked = "secret" in node.get("class", "") or node.get("type") == "password"
    if masked:
        node.text = None
        node[:] = []
        node.attrib.pop("title", None)
        if "value" in node.attrib:
            node.set("value", "")
    for child in node:
        without_secrets(child)


@given(st.lists(TREES, max_size=4).map("".join))
def test_the_copy_is_the_tree_less_what_is_masked(written: str) -> None:
    page = f'<html xmlns:x="u"><body>{written}</body></html>'
    masks = Masks([*CaptureTable().mask, ".secret"])
    try:
        copy = redact(page.encode(), exclude_blocks=True, masks=masks, charset=None, xhtml=True)
    except RedactionError:
        return
    expected = ElementTree.fromstring(page)
    without_secrets(expected)
    assert ElementTree.tostring(ElementTree.fromstring(copy)) == ElementTree.tostring(expected)
