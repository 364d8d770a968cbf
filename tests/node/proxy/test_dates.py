"""The Date field line: right, and made once a second."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.node.proxy.dates import DateLine


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=5))
def test_the_date_is_that_of_the_second(times: list[float]) -> None:
    moments = iter(times)
    line = DateLine(lambda: next(moments))
    for moment in times:
        name, _, value = line().decode().partition(": ")
        assert name == "Date"
        assert value.endswith(" GMT\r\n")
        assert parsedate_to_datetime(value.strip()).timestamp() == int(moment)


def test_one_second_has_one_line() -> None:
    moments = iter([5.0, 5.9, 6.0])
    line = DateLine(lambda: next(moments))
    first = line()
    assert line() is first
    assert line() != first
