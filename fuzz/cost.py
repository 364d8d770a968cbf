"""Inputs whose cost is measured: the repeated piece, the number of repetitions, and the limit of CPU time.

A body is cut into three pieces: what comes once before, what is repeated until a message has its size, and what comes
once behind. ``{}`` in the repeated piece becomes a number, so that all repetitions differ.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from random import Random
from time import process_time

from fuzz.target import Target
from tests.support.cpu_cost import LIMIT_SECONDS, MESSAGE_BYTES, check_cost, check_growth, cpu_seconds

#: The leading bytes of an input: the place, its variant (two bytes), where the repeated piece begins and ends.
CHOICES = 5
#: The longest body of an input. It is repeated, so it can be short.
MAX_BYTES = 240

#: Makes the handler of a message from the size of its body.
Place = Callable[[int, bytes], Callable[[], object]]

#: Makes the handler of a message from its size.
Sized = Callable[[int], Callable[[], object]]

#: The sizes of a page whose costs are compared first, and how many times as much the larger one may cost then.
_PAGE_BYTES = (20_000, 80_000)
_SUSPICIOUS = 8
_LEAST_SECONDS = 0.0007
_SURE = 3


class Repeated:
    """A body that can be had in every size.

    :param data: the choices of an input, and its body.
    """

    def __init__(self, data: bytes) -> None:
        choices, body = data[:CHOICES], data[CHOICES:]
        start, end = sorted(place * len(body) // 255 for place in choices[3:5])
        if start == end:
            start, end = 0, len(body)
        self._before, self._unit, self._after = body[:start], body[start:end] or b"a", body[end:]
        self._parts = self._unit.split(b"{}")

    def sized(self, size: int) -> bytes:
        """Return a body of about this size, never a longer one unless size is less than that of the body itself."""
        room = max(size - len(self._before) - len(self._after), len(self._unit))
        if len(self._parts) == 1:
            return self._before + self._unit * (room // len(self._unit)) + self._after
        count = room // (len(self._unit) + 3 * (len(self._parts) - 1)) + 1
        return self._before + b"".join((b"%d" % number).join(self._parts) for number in range(count)) + self._after


def measure(places: Mapping[str, Place], data: bytes) -> tuple[str, int, int]:
    """Measure a message of the place that an input chooses; give the place, its variant, and how dear a byte was.

    Names of places that begin with ``page`` take more than a message of a visitor: there the growth counts alone.

    :raises AssertionError: if the cost grows more than the size, or exceeds the limit of one message.
    """
    name = list(places)[data[0] % len(places)]
    place, variant, body = places[name], data[1] * 256 + data[2], Repeated(data)

    def handle(size: int) -> Callable[[], object]:
        return place(variant, body.sized(size))

    what = f"{name}, variant {variant}, {body.sized(200)[:400]!r}"
    seconds = _check_page(what, handle) if name.startswith("page") else _check_message(what, handle)
    return name, variant % 8, int(seconds * 4000).bit_length()


def _check_message(what: str, handle: Sized) -> float:
    seconds = cpu_seconds(handle(MESSAGE_BYTES // 2))
    if seconds > LIMIT_SECONDS / 5:
        _repeatedly(lambda: check_cost(what, handle(MESSAGE_BYTES)))
        _repeatedly(lambda: check_growth(what, handle, MESSAGE_BYTES // 2))
    return seconds


def _check_page(what: str, handle: Sized) -> float:
    """Compare one call for each of two sizes first: most inputs need no better measurement.

    A cost that has a step at some size, and else grows as the size does, is no failure. It grows too much at one pair
    of sizes only.
    """
    small, large = (_seconds_once(handle(size)) for size in _PAGE_BYTES)
    if large > _SUSPICIOUS * max(small, _LEAST_SECONDS):
        try:
            _repeatedly(lambda: check_growth(what, handle, _PAGE_BYTES[1]))
        except AssertionError:
            check_growth(what, handle, 2 * _PAGE_BYTES[1])
    return large


def _seconds_once(work: Callable[[], object]) -> float:
    began = process_time()
    work()
    return process_time() - began


def seeds(places: Mapping[str, Place], tokens: Sequence[bytes], random: Random) -> list[bytes]:
    """Return for each place each token, repeated alone."""
    return [
        bytes((number, random.randrange(256), random.randrange(256), 0, 255)) + token
        for number in range(len(places))
        for token in tokens
    ]


def target(
    places: Mapping[str, Place], tokens: Sequence[bytes], check: Callable[[bytes], Hashable] | None = None
) -> Target:
    """Return a target that measures messages of these places.

    :param check: takes one input in place of :func:`measure`, for example to prepare what handles the message.
    """
    return Target(
        seeds=lambda random: seeds(places, tokens, random),
        tokens=tokens,
        check=check or (lambda data: measure(places, data)),
        choices=CHOICES,
        cpu_seconds=20,
        max_bytes=MAX_BYTES,
        short_run=200,
    )


def _repeatedly(check: Callable[[], None]) -> None:
    """Fail if a check fails each time: another process may have cost a measurement its truth."""
    for left in reversed(range(_SURE)):
        try:
            check()
            break
        except AssertionError:
            if not left:
                raise
