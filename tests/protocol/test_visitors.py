"""Pseudonyms of visitors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.protocol.secrets import FarmSecret
from lbcompanion.protocol.visitors import is_pseudonym, visitor_key, visitor_pseudonym, visitor_pseudonyms

SECRET, OTHER = b"s" * 32, b"t" * 32


def of(value: str, secret: bytes = SECRET) -> str:
    return visitor_pseudonym(visitor_key(secret), value)


@given(st.text(min_size=2))
def test_a_value_has_one_pseudonym_which_does_not_contain_it(value: str) -> None:
    if not value.strip(' \t"'):
        return
    assert is_pseudonym(of(value))
    assert of(value) == of(value) != of(value, OTHER)
    assert len(of(value)) == 24


@pytest.mark.parametrize("value", ["", "0", "1", ' "0" ', '""'])
def test_values_of_many_visitors_have_none(value: str) -> None:
    assert of(value) == ""
    assert visitor_pseudonyms(SECRET, value) == ()


def test_quotes_and_blanks_around_a_value_do_not_count() -> None:
    assert of("alice") == of('"alice"') == of(" alice ")
    assert len({of("alice"), of("Alice"), of("alic"), of("01"), of('"')}) == 5


def test_a_value_is_found_under_every_accepted_secret() -> None:
    assert visitor_pseudonyms(FarmSecret(OTHER, [SECRET]), "alice") == (of("alice", OTHER), of("alice"))


def test_a_pseudonym_stands_for_itself_too() -> None:
    assert visitor_pseudonyms(SECRET, of("alice"))[0] == of("alice")
