"""Inputs that are repeated, and the measurement that tells growth from a step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fuzz import cost

pytestmark = pytest.mark.slow


def _linear(_variant: int, body: bytes) -> Callable[[], object]:
    return lambda: sum(body * 4)


def _cube(divisor: int) -> cost.Place:
    """Work of such a growth that a busy machine cannot hide it."""
    return lambda _variant, body: lambda: [sum(body) for _ in range((len(body) // divisor) ** 2)]


def _step(_variant: int, body: bytes) -> Callable[[], object]:
    return lambda: sum(body * (2 if len(body) > 100_000 else 0))


def _data(place: int, body: bytes, start: int = 0, end: int = 255) -> bytes:
    return bytes((place, 0, 0, start, end)) + body


def test_a_piece_is_repeated_between_what_stands_once() -> None:
    body = cost.Repeated(_data(0, b"<p>aa</p>", 85, 142)).sized(20)
    assert body.startswith(b"<p>aaaa")
    assert body.endswith(b"</p>")
    assert len(body) == 19


def test_repetitions_can_be_numbered() -> None:
    assert cost.Repeated(_data(0, b"a{},")).sized(15) == b"a0,a1,a2,"


def test_what_grows_as_its_size_passes() -> None:
    places = {"a field": _linear, "page": _linear, "page with a step": _step}
    for number in range(len(places)):
        cost.measure(places, _data(number, b"a,"))


@pytest.mark.parametrize(("place", "divisor"), [("a field", 1000), ("page", 12_000)])
def test_growth_is_found(monkeypatch: pytest.MonkeyPatch, place: str, divisor: int) -> None:
    monkeypatch.setattr(cost, "_SURE", 1)
    # The speed of the machine and of Python must not decide.
    monkeypatch.setattr(cost, "_LEAST_SECONDS", 0)
    with pytest.raises(AssertionError, match=place):
        cost.measure({place: _cube(divisor)}, _data(0, b"a,"))
