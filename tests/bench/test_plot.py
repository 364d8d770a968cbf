"""The picture is well-formed, and longer bars are larger figures."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from bench.plot import svg
from bench.targets import COMPANION
from tests.support.bench_results import result

SVG = "{http://www.w3.org/2000/svg}"


@given(st.lists(st.floats(0.01, 1e6), max_size=9))
def test_bars_are_in_the_order_of_their_figures(medians: list[float]) -> None:
    root = ElementTree.fromstring(svg(result(*medians)))
    widths = [float(one.attrib["width"]) for one in root.iter(f"{SVG}rect")][1 : len(medians) + 1]
    assert all(width >= 0 for width in widths)
    for (lower, narrow), (higher, wide) in pairwise(sorted(zip(medians, widths, strict=True))):
        assert lower == higher or narrow <= wide


def test_all_is_said() -> None:
    texts = [one.text for one in ElementTree.fromstring(svg(result(1.0))).iter(f"{SVG}text")]
    assert {COMPANION, "peer <0>", "5  (1.50 x)", "5.0, then stopped", "-3"} <= {*texts}
    assert any("CPython & others" in (text or "") for text in texts)


def test_nothing_measured_is_an_empty_picture() -> None:
    nothing = {**result(), "figures": {}, "memory": {}}
    assert not list(ElementTree.fromstring(svg(nothing)).iter(f"{SVG}line"))
