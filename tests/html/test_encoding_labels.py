"""The labels of encodings are the Encoding Standard's, and no others."""

from __future__ import annotations

from codecs import lookup
from encodings.aliases import aliases
from typing import Any

import pytest

from lbcompanion.html import encoding_labels
from lbcompanion.html.charset import python_codec
from lbcompanion.html.encoding_labels import encoding_of

LABELS = encoding_labels._ENCODINGS


def test_all_of_the_standard() -> None:
    assert len(LABELS) == 228
    assert len(set(LABELS.values())) == 40


@pytest.mark.parametrize(
    ("label", "encoding"),
    [
        ("visual", "iso-8859-8"),
        ("logical", "iso-8859-8-i"),
        ("cn-big5", "big5"),
        ("iso88591", "windows-1252"),
        ("koi8", "koi8-r"),
        (" UTF-8\n", "utf-8"),
        ("\u212aoi8", None),
        ("utf-8\x0b", None),
    ],
)
def test_a_label(label: str, encoding: str | None) -> None:
    assert encoding_of(label) == encoding


@pytest.mark.parametrize("label", sorted({*aliases, *aliases.values()} - LABELS.keys()))
def test_what_only_python_knows_means_nothing(label: str) -> None:
    assert encoding_of(label) is None


@pytest.mark.parametrize("encoding", sorted(set(LABELS.values())))
def test_python_can_read_it(encoding: str) -> None:
    assert lookup(python_codec(encoding))


@pytest.mark.browser
def test_a_browser_knows_the_same(page: Any) -> None:
    told = page.evaluate(
        """labels => labels.map(label => {
            try { return new TextDecoder(label).encoding; } catch (error) { return null; }
        })""",
        [*LABELS, *aliases],
    )
    for label, encoding in zip([*LABELS, *aliases], told, strict=True):
        # A TextDecoder is never made for "replacement".
        expected = encoding_of(label)
        assert encoding == (None if expected == "replacement" else expected), label
