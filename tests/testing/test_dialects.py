"""The contract suite for dialects."""

import pytest

from lbcompanion.testing.dialects import dialect_contract


def test_the_contract_catches_what_is_missing() -> None:
    class Half:
        name = "half"

    suite = dialect_contract(Half())  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        suite("test_it_has_all_verbs").debug()
