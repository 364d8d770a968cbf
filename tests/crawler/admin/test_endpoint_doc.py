from __future__ import annotations

import jsonschema
import pytest

from lbcompanion.crawler.admin.endpoint_doc import COMPONENTS, FILTERS, INTEGER, TEXT, array, obj, one_of, or_null
from lbcompanion.crawler.queue.filter_texts import FILTER_NAMES


def fits(value: object, schema: object) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))  # type: ignore[arg-type]


def test_objects_are_closed() -> None:
    schema = obj(["b"], a=INTEGER, b=or_null(array(one_of("x", "y"))))
    assert fits({"a": 1}, schema)
    assert fits({"a": 1, "b": ["x"]}, schema)
    assert not fits({"a": 1, "c": 1}, schema)
    assert not fits({"b": None}, schema)
    assert not fits({"a": 1, "b": ["z"]}, schema)


def test_each_filter_is_described() -> None:
    assert {each.name for each in FILTERS} == set(FILTER_NAMES)


@pytest.mark.parametrize("text", ["a", "a*", "*a*", "*", "**", "", "a*b", "*a", "a\x00", "*\x7f*"])
def test_the_pattern_of_an_address_is_what_is_read(text: str) -> None:
    from lbcompanion.crawler.queue.filter_texts import BadFilter, read_filters

    (url,) = (each for each in FILTERS if each.name == "url")
    try:
        read_filters({"url": text})
    except BadFilter:
        assert not fits(text, url.schema)
    else:
        assert fits(text, url.schema)


def test_components_are_schemas() -> None:
    for schema in (*COMPONENTS.values(), TEXT):
        jsonschema.Draft202012Validator.check_schema(schema)
