"""Which values of ``Integrity-Policy`` block scripts without ``integrity``."""

from __future__ import annotations

import pytest

from lbcompanion.html.integrity_policy import blocks_scripts


@pytest.mark.parametrize(
    ("values", "blocks"),
    [
        ([], False),
        ([b"blocked-destinations=(script)"], True),
        ([b"blocked-destinations=(style script), endpoints=(x y)"], True),
        ([b"endpoints=(script), blocked-destinations=( script )"], True),
        ([b"sources=(inline), blocked-destinations=(script)"], True),
        ([b"sources=(other), blocked-destinations=(script)"], False),
        ([b"blocked-destinations=(style)"], False),
        ([b"blocked-destinations=()"], False),
        ([b"x-blocked-destinations=(script)"], False),
        ([b"endpoints=(x)", b"blocked-destinations=(script)"], True),
        ([b"blocked-destinations=(script)", b"blocked-destinations=(style)"], False),
        ([b"nonsense"], False),
        ([b"blocked-destinations=(script;a)"], True),
        ([b"blocked-destinations=(script), x=" + b"x=(" * 1000], True),
        ([b"blocked-destinations=(style), x=" + b"x=(" * 1000], False),
        ([b'blocked-destinations=(style;a=1 script;b="x) y";c), endpoints=(x)'], True),
        ([b'blocked-destinations=(style;a="script ")'], False),
        ([b'blocked-destinations=("script")'], False),
        ([b"sources=(inline;x), blocked-destinations=(script)"], True),
        ([b'blocked-destinations=(script), x="a, blocked-destinations=(style)"'], True),
        ([b'blocked-destinations=(script);p="), sources=(other)"'], True),
        ([b'blocked-destinations=(script), y=("a, sources=(other)")'], True),
    ],
)
def test_a_value(values: list[bytes], blocks: bool) -> None:
    assert blocks_scripts(values) is blocks
