"""The texts of errors."""

from __future__ import annotations

import inspect

from lbcompanion import errors
from lbcompanion.errors import BadResponse, CompanionError, ConfigError, ConfigErrors


def test_all_have_one_root() -> None:
    found = [one for _, one in inspect.getmembers(errors, inspect.isclass) if one.__module__ == errors.__name__]
    assert all(issubclass(one, CompanionError) for one in found)


def test_a_configuration_error_names_file_key_value_and_what_is_allowed() -> None:
    assert str(ConfigError("n1.toml", "node.listen", '"x"', "a list")) == 'n1.toml: node.listen is "x"; allowed: a list'
    assert str(ConfigError("n1.toml", "", "", "a file")) == "n1.toml; allowed: a file"


def test_several_have_a_line_each_and_the_attributes_of_the_first() -> None:
    first, second = ConfigError("f", "a", "1", "2"), ConfigError("f", "b", "3", "4")
    both = ConfigErrors([first, second])
    assert str(both).splitlines() == [str(first), str(second)]
    assert (both.key, both.errors) == ("a", (first, second))


def test_a_bad_answer_is_reported_as_502() -> None:
    assert BadResponse("two lengths").status == 502
