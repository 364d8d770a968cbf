from __future__ import annotations

import pytest
from justhtml import JustHTML

from lbcompanion.html.character_references import attribute_text, attribute_value


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


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("&amp;&#65;&#x42;&#X43", "&ABC"),
        ("&ampx &amp=1 &amp;=1 &copy=2 &copy", "&ampx &amp=1 &=1 &copy=2 \xa9"),
        ("&notit; &not;it; &nothing; & &;", "&notit; \xacit; &nothing; & &;"),
        ("&#0;&#xD800;&#128;", "\ufffd\ufffd\u20ac"),
    ],
)
def test_another_parser_resolves_the_same(written: str, value: str) -> None:
    assert attribute_value(written) == value
    element = JustHTML(f'<b title="{written}">', sanitize=False).query("b")[0]
    assert element.attrs["title"] == value
