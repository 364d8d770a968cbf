"""The CPU time of this process for one message from outside."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

#: The size of a message whose cost is bounded, in bytes.
MESSAGE_BYTES = 60_000
#: The most CPU time that such a message may cost, in seconds.
LIMIT_SECONDS = 0.05

_REPEATS = 4
#: How long :func:`_calibration` takes on the machine for which the limit was chosen.
_CALIBRATED_SECONDS = 0.011
# CPU time grows where two processes share caches and cores. A square is still found: it costs seconds. With 1 the tests
# hold the limit itself, on a quiet machine.
_TOLERANCE = float(os.environ.get("LBC_COST_TOLERANCE", "2.5"))

#: What a visitor, an application or a peer may repeat in a list. ``{}`` becomes a number, so that all differ.
ELEMENTS = (
    "*", "a", "a{}", "a{}=b", "_{:05}=http://x", '"a{}"', 'W/"a{}"', "gzip;q=0.5", "*;q=0", "1.2.3.4", "for=1.2.3.4",
    "bytes={}-", 'lbc=("@method")', '\\"', "(", '"', "%61", "=", "SRV{}=n1", "BIGipServerp{}=1677787402.36895.0000",
    "text/html", "text/html;charset=a{}", "sha-256=:a:", "[::1]", "<a>;rel=b", "max-age={}", "nonce-a{}", "\t",
)  # fmt: skip
SEPARATORS = (",", "; ", " ", "")


def lists(size: int = MESSAGE_BYTES) -> Iterator[tuple[str, bytes]]:
    """Values of about this size, and a description of each: every element, with commas and with another separator."""
    for number, element in enumerate(ELEMENTS):
        for separator in (SEPARATORS[0], SEPARATORS[1 + number % (len(SEPARATORS) - 1)]):
            yield f"{element!r} joined by {separator!r}", repeated(element, separator, size)


def repeated(element: str, separator: str, size: int) -> bytes:
    """A list of about ``size`` bytes."""
    count = size // (len(element.format(1000)) + len(separator)) + 1
    return separator.join(element.format(number) for number in range(count)).encode()[:size]


def cpu_seconds(work: Callable[[], object]) -> float:
    """The least CPU time of a few calls: what else the machine does can only add to it."""
    least = float("inf")
    for _ in range(_REPEATS):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
        if least < LIMIT_SECONDS / 4:
            break
    return least


def limit_seconds() -> float:
    """The limit on this machine: a slower one is given more."""
    return LIMIT_SECONDS * max(cpu_seconds(_calibration) / _CALIBRATED_SECONDS, 1.0)


def check_cost(what: str, work: Callable[[], object]) -> None:
    """Check that handling one message stays within the limit."""
    seconds = cpu_seconds(work)
    if seconds > LIMIT_SECONDS:
        allowed = limit_seconds() * _TOLERANCE
        assert seconds <= allowed, f"{what}: {seconds:.3f} s of CPU, {allowed:.3f} s are allowed"


def check_growth(what: str, work: Callable[[int], Callable[[], object]], size: int) -> None:
    """Check that twice the input costs about twice the time; a square would cost four times as much.

    :param work: makes what handles an input of so many bytes.
    """
    single, double = cpu_seconds(work(size)), cpu_seconds(work(2 * size))
    if double > LIMIT_SECONDS / 2 and double > 3 * single:
        # Once more, since the first of the two may have been a lucky one.
        single, double = cpu_seconds(work(size)), cpu_seconds(work(2 * size))
        assert double <= 3.5 * single, f"{what}: {single:.3f} s for {size} bytes, {double:.3f} s for twice as many"


def _calibration() -> int:
    return sum(number % 7 for number in range(200_000))
