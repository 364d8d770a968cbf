"""Whether an end tag closes what it seems to close."""

from __future__ import annotations

import pytest

from lbcompanion.html.nesting import closes_in_order, foreign_content_is_left_together, worst_search_steps


@pytest.mark.parametrize(
    ("name", "content", "in_order"),
    [
        ("div", b"", True),
        ("div", b"a<b>c</b><br><img>", True),
        ("div", b"<p>a<ul><li>b<li>c</ul><table><tr><td>d<tr></table>", True),
        ("div", b"<b>a", True),
        ("div", b"<span><div></span></div>", False),
        ("div", b"<div>", False),
        ("div", b"<table><td>", False),
        ("div", b"<p><div></p>", False),
        ("div", b"<!-- <div> --><div title='>'></div>", True),
        ("div", b"<script>'<div>'</script></p>", True),
        ("span", b"<b>a", True),
        ("span", b"<p>a", False),
        ("b", b"<p>a", False),
        ("td", b"<p>a", True),
        ("tr", b"<td>a<td>b", True),
        ("table", b"<tr><td>a", True),
        ("tr", b"<td><table>", False),
        ("form", b"<span>", False),
        ("form", b"<p>", True),
        ("li", b"<ul><li>", False),
        ("textarea", b"<div>", True),
        ("svg", b"<path><g/>", True),
        ("svg", b"<foreignObject><div>", False),
    ],
)
def test_closes_in_order(name: str, content: bytes, in_order: bool) -> None:
    assert closes_in_order(name, content) is in_order


@pytest.mark.parametrize(
    ("html", "steps"),
    [
        (b"", 0),
        (b"<p></p></p>", 0),
        (b"<p><b></i></b></i>", 3),
        (b"<br><input></i>", 0),
        (b"<script></i></script></i>", 0),
        (b"<svg><script></i></script><path d='a'/></svg></i>", 2),
        (b"<p><!-- </i> --></i", 0),
        (b"<p>" * 100 + b"</i>" * 100, 10_000),
    ],
)
def test_search_steps(html: bytes, steps: int) -> None:
    assert worst_search_steps(html) == steps


@pytest.mark.parametrize(
    ("html", "together"),
    [
        (b"<span><svg><svg></svg></span>", True),
        (b"<span><svg><svg></svg></span><p>text</p>", True),
        (b"<span><svg></span></svg><title>x</title>", True),
        (b"<svg></span><title>x</title></svg>", True),
        (b"<p><svg><path/></path></svg>", True),
        (b"<div><svg><foreignObject><div>x</div></foreignObject></svg></div>", True),
        (b"<div/><svg><desc></div><b></svg>", False),
        (b"<span><svg><svg></svg></span><title>x</title>", False),
        (b"<span><svg></span><![CDATA[x]]></svg>", False),
        (b"<span><svg></span><![CDATA[x]]>", False),
        (b"<span><math></span><mi>", False),
        (b"<span><svg><![CDATA[></svg>]]></span><g>", False),
        (b"<span><svg><g></span><g/></svg>", False),
        (b"<svg><foreignObject><ul><li>a<li>b</ul><p>c<p>d</p></foreignObject><g/></svg>", True),
        (b"<svg><title><![CDATA[a]]></title><desc>b</desc></svg><p>text</p>", True),
        (b"<math><mi>x</mi><mo>=</mo><mtext><b>y</b></mtext></math>", True),
        (b"<svg></math><svg></svg><font/></svg>", True),
        (b"<svg><desc><p></desc></svg><p>text", True),
        (b"<svg><desc><p></desc></svg></p></desc>", False),
        (b"<math><annotation-xml encoding=MathML-Content><ci><mi>x</mi></ci></annotation-xml></math>", True),
        (b"<math><annotation-xml encoding=text/html><mi>x</mi></annotation-xml></math>", False),
        (b"<svg><desc><p></desc></svg><main>text", True),
        (b"<svg>" * 32 + b"</svg>" * 32, True),
        (b"<svg>" * 33 + b"</svg>" * 33, False),
        (b"<svg><math></svg>", False),
        (b"<svg><svg><p>", False),
        (b"<svg><svg></p>", False),
        (b"<svg><svg><font color=red>", False),
        (b"<svg><svg><font x=red></font></svg></svg>", True),
        (b"<svg><g><svg></g></svg>", False),
        (b"<svg><desc></svg>", False),
        (b"<svg><desc><p></desc>", False),
        (b"<svg><desc><svg><g></desc>", False),
        (b"<svg><desc><title>x</title>", False),
        (b"<svg><desc><![CDATA[><!--]]><b>x</b>-->", False),
    ],
)
def test_where_svg_is_left(html: bytes, together: bool) -> None:
    assert foreign_content_is_left_together(html) is together
