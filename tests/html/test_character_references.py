from __future__ import annotations

import pytest

from lbcompanion.html.character_references import attribute_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"a&amp;b&lt;", "a&b<"),
        (b"?a=b&copy=c&copy", "?a=b&copy=c\xa9"),
        (b"&#104;&#x68;&#104", "hhh"),
        (b"&nothing; &", "&nothing; &"),
        (b"&colon;&#0;&#128;", ":\ufffd\u20ac"),
    ],
)
def test_references_are_resolved_by_the_rules_for_attributes(value: bytes, text: str) -> None:
    assert attribute_text(value) == text
