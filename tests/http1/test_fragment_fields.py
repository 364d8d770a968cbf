"""The fields by which scripts mark their requests."""

from __future__ import annotations

import pytest

from lbcompanion.http1.field_lines import FRAGMENT_HINT, REQUEST_FIELDS
from lbcompanion.http1.fragment_fields import FRAGMENT_FIELDS, REQUESTED_WITH


@pytest.mark.parametrize("name", sorted(FRAGMENT_FIELDS))
def test_each_field_is_indexed(name: bytes) -> None:
    assert REQUEST_FIELDS[name] == FRAGMENT_HINT


def test_names_and_values_are_compared_in_lower_case() -> None:
    for word in (*FRAGMENT_FIELDS, *REQUESTED_WITH):
        assert word == word.lower()


def test_no_value_looks_like_the_name_of_an_android_package() -> None:
    assert not [value for value in REQUESTED_WITH if b"." in value]
