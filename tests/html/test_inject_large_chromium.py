"""Pages of several megabytes in a real Chromium: the script runs, and but for it the document is the same.

The pages are made here, by chance that is always the same, of what makes saved pages large: tables, scripts and styles
in line, drawings, data in attributes, comments, templates, forms, tags left out.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from tests.support.browser import Site
from tests.support.tag_placement import same_document

pytestmark = pytest.mark.browser


def words(chance: Random, count: int) -> str:
    return " ".join(
        chance.choice(["alpha", "caf\u00e9", "&amp;", "x &lt; y", "\u65e5\u672c", "1,234.50", "don't"])
        for _ in range(count)
    )


def table(chance: Random) -> str:
    rows = "".join(
        f"<tr data-row='{index}'><td>{index}<td class=\"n\">{words(chance, 4)}"
        f'<td><a href="/x?a=1&b={index}">{words(chance, 2)}</a>'
        for index in range(2500)
    )
    return f"<table><thead><tr><th>a<th>b<th>c</thead><tbody>{rows}</table>"


def script(chance: Random) -> str:
    data = ",".join(f'{{"id":{index},"html":"<\\/body><p class=\\"x\\">{index}<!-- x -->"}}' for index in range(2500))
    return f"<script>(window.told = window.told || []).push([{data}].length); var end = '</body><body>';</script>"


def drawing(chance: Random) -> str:
    paths = "".join(
        f'<path d="M{chance.randrange(999)} {chance.randrange(999)}l{chance.random():.6f} 3z"/><title>{index}</title>'
        for index in range(2500)
    )
    text = f"<foreignObject><p>{words(chance, 3)}</p></foreignObject>"
    return f'<svg viewBox="0 0 9 9"><style>a > b {{}}</style>{paths}{text}</svg>'


def comments(chance: Random) -> str:
    return "".join(f"<!-- {index} </body> <script> -- {words(chance, 3)} -->" for index in range(2500))


def attributes(chance: Random) -> str:
    blob = "".join(chance.choice("ABCDEFGHabcdefgh0123456789+/") for _ in range(90000))
    return f'<img alt="</body> > <head>" src="data:image/gif;base64,{blob}"><div data-json=\'{{"a":"<body>"}}\'></div>'


def forms(chance: Random) -> str:
    fields = "".join(
        f'<p><label>{words(chance, 2)}<input name=f{index} value="{words(chance, 2)}"></label>'
        "<textarea></body></textarea>"
        f"<select><option>a<option selected>b</select>"
        for index in range(700)
    )
    return f"<form action=/x>{fields}</form><template><p>{words(chance, 9)}</body></template>"


PARTS: list[Callable[[Random], str]] = [table, script, drawing, comments, attributes, forms]
PROLOGS = {
    "usual": "<!DOCTYPE html>\n<!-- saved from url=(0014)about:internet -->\n<html lang=en>"
    "<head><meta charset=utf-8><title>x</title></head><body>",
    "old": '<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">'
    "<HTML><HEAD><TITLE>x</TITLE></HEAD><BODY bgcolor=white>",
    "quirks": "<html><title>x</title>",
    "left out": "<!doctype html><title>x</title><style>a::after{content:'</head><body>'}</style>",
}


def made(kind: str) -> bytes:
    chance = Random(kind)
    text = (
        PROLOGS[kind]
        + "".join(chance.choice(PARTS)(chance) for _ in range(14))
        + "".join(part(chance) for part in PARTS)
    )
    return (text + ("</body></html>\n" if kind != "left out" else "")).encode()


@pytest.mark.parametrize("kind", PROLOGS)
def test_but_for_the_script_the_document_is_the_same(kind: str, site: Site, page: Any) -> None:
    plain = made(kind)
    assert 2_000_000 < len(plain) < 12_000_000
    before = same_document(plain, "text/html; charset=utf-8", site, page)
    assert before[3] == ("BackCompat" if kind in ("quirks", "old") else "CSS1Compat")
