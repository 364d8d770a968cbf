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
    ],
)
def test_a_value(values: list[bytes], blocks: bool) -> None:
    assert blocks_scripts(values) is blocks
