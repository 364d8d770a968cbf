"""Slows down for sites that answer ``429 Too Many Requests`` (RFC 6585 section 4)."""

from __future__ import annotations

#: The result of an attempt that was answered by 429.
TOO_MANY_REQUESTS = "status 429"
_FIRST_PAUSE_SECONDS = 2.0
_MAX_PAUSE_SECONDS = 30.0


class RateLimits:
    """The pauses of all sites: a site that answered 429 gets no round for a while, twice as long after each pause."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._next_pause: dict[str, float] = {}

    def pause_of(self, site: str, now: float) -> float:
        """Return for how many seconds no round may start; 0 if one may."""
        remaining = self._until.get(site, 0.0) - now
        return remaining if 0 < remaining <= _MAX_PAUSE_SECONDS else 0.0

    def record(self, site: str, result: str, now: float) -> None:
        """Note the result of an attempt."""
        if result != TOO_MANY_REQUESTS:
            if not self.pause_of(site, now):
                self._next_pause.pop(site, None)
            return
        if self.pause_of(site, now):
            return  # sent before the pause began
        pause = self._next_pause.get(site, _FIRST_PAUSE_SECONDS)
        self._until[site] = now + pause
        self._next_pause[site] = min(pause * 2, _MAX_PAUSE_SECONDS)
