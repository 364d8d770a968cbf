"""Is it flat? Judged from samples alone. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from attrs import frozen

#: The first part of a run is not judged: stores fill, heaps settle.
WARM_SHARE = 0.2
#: Memory may grow by the larger of the two between the first and the last tenth of what is judged.
GROWTH_SHARE = 0.05
GROWTH_MEGABYTES = 8.0
#: Descriptors come and go with visitors; this many more at the end are no growth.
GROWTH_DESCRIPTORS = 8
_TENTHS = 10


@frozen
class Sample:
    """One measurement.

    :ivar done: requests so far.
    :ivar seconds: since the start.
    """

    done: int
    seconds: float
    resident_mb: float
    descriptors: int


@frozen
class GrowthCheck:
    """Medians of the first and of the last tenth of what is judged, and the most that would do."""

    first: float
    last: float
    allowed: float

    @property
    def within_limit(self) -> bool:
        """Whether it has not grown."""
        return self.last <= self.allowed


def memory(samples: Sequence[Sample]) -> GrowthCheck:
    """Check the growth of resident memory, in MB."""
    first, last = _first_and_last(samples, lambda one: one.resident_mb)
    return GrowthCheck(first, last, first + max(GROWTH_MEGABYTES, first * GROWTH_SHARE))


def descriptors(samples: Sequence[Sample]) -> GrowthCheck:
    """Check the growth of open descriptors."""
    first, last = _first_and_last(samples, lambda one: one.descriptors)
    return GrowthCheck(first, last, first + GROWTH_DESCRIPTORS)


def _first_and_last(samples: Sequence[Sample], value: Callable[[Sample], float]) -> tuple[float, float]:
    check_body = samples[int(len(samples) * WARM_SHARE) :]
    size = max(1, len(check_body) // _TENTHS)
    return median(map(value, check_body[:size])), median(map(value, check_body[-size:]))
