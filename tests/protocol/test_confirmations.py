"""Confirmations of several copies are read strictly, and their answers by the tokens that were asked for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import ConfirmationError
from lbcompanion.node.proxy.internal import MAX_INTERNAL_BODY_BYTES
from lbcompanion.protocol.confirmations import (
    MAX_TOKENS,
    read_confirmation,
    read_results,
    write_confirmation,
    write_results,
)

LONGEST = "a" * 63


def test_the_most_tokens_fit_into_a_request() -> None:
    tokens = [f"{number:03}{LONGEST[3:]}" for number in range(MAX_TOKENS)]
    body = write_confirmation(tokens)
    assert len(body) <= MAX_INTERNAL_BODY_BYTES
    assert read_confirmation(body) == tuple(tokens)
    with pytest.raises(ValueError, match="at most 200"):
        write_confirmation([*tokens, "b"])
    with pytest.raises(ConfirmationError, match="1 to 200"):
        read_confirmation(json.dumps({"tokens": [*tokens, "b"]}).encode())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"nonsense", b"\xff", b'{"tokens": []}', b'{"tokens": "abc"}', b'{"tokens": {"a": 1}}',
        b'{"tokens": [1]}', b'{"tokens": ["a b"]}', b'{"tokens": ["' + b"a" * 64 + b'"]}', b'{"tokens": ["a", null]}',
        b'{"tokens": ' + b"[" * 10000,
    ],
)  # fmt: skip
def test_other_bodies_are_refused(body: bytes) -> None:
    with pytest.raises(ConfirmationError):
        read_confirmation(body)
    with pytest.raises(ConfirmationError):
        read_results(body, ["a"])


def test_a_token_counts_once() -> None:
    assert read_confirmation(b'{"tokens": ["a", "b", "a"]}') == ("a", "b")


def test_only_statuses_of_the_asked_tokens_count() -> None:
    body = json.dumps({"results": {"a": 204, "b": True, "c": "204", "d": 404, "e": None, "f": 204}}).encode()
    assert read_results(body, ["a", "b", "c", "d", "e", "g"]) == {"a": 204, "d": 404}


@given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,63}", fullmatch=True), st.integers(200, 599)))
def test_results_are_read_as_they_were_written(statuses: dict[str, int]) -> None:
    assert read_results(write_results(statuses), statuses) == statuses
