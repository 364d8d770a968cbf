"""How long a copy may live: the one rule that every provider goes by.

It stands here in Python, as bounds for an index, and in Lua for Redis. A change of the rule changes these three, and
nothing elsewhere.
"""

from __future__ import annotations

from math import inf

from lbcompanion.errors import PageRefused
from lbcompanion.model import MissReason, Page
from lbcompanion.settings import StoreTable


def expiry_reason(settings: StoreTable, stored_at: float, sent_at: float | None, now: float) -> MissReason | None:
    """Why a copy is no more, or None while it lives.

    Its age counts from the moment it was kept, not from the head of the response: a page that the application
    took long to write would else be old at birth. Of two ends the earlier is the one that is told.

    :param sent_at: when it first went out whole; None while it has not.
    """
    expires_at = stored_at + settings.max_seconds
    counts_pulled = sent_at is not None and settings.delete_after_pull
    pulled_at = sent_at + settings.pull_grace_seconds if counts_pulled and sent_at is not None else inf
    if now < expires_at and now < pulled_at:
        return None
    return MissReason.PULLED if pulled_at <= expires_at else MissReason.EXPIRED


#: The same for Redis: ``over(token, stored)`` gives the reason or nil. ``now``, ``max_seconds`` and ``grace`` are
#: numbers there, ``lbc:sent`` has the times of sending; ``grace`` is :func:`grace_seconds`, below 0 for None.
EXPIRY_REASON_LUA = """
local function over(token, stored)
  local expires = tonumber(stored) + max_seconds
  local sent = grace >= 0 and call('ZSCORE', 'lbc:sent', token)
  local pulled = sent and tonumber(sent) + grace or math.huge
  if now < expires and now < pulled then return nil end
  return pulled <= expires and 'pulled' or 'expired'
end
"""


def grace_seconds(settings: StoreTable) -> float | None:
    """How long a copy stays once it was sent; None: as long as one that was not."""
    return settings.pull_grace_seconds if settings.delete_after_pull else None


def expiry_bounds(settings: StoreTable, now: float) -> tuple[float, float | None]:
    """Bounds for an index: the latest times of keeping and of sending at which a copy is over now.

    They only find copies; :func:`expiry_reason` decides, as sums and differences of times are rounded differently.

    :returns: the second is None where sending ends nothing.
    """
    grace = grace_seconds(settings)
    return now - settings.max_seconds, None if grace is None else now - grace


def check_size(settings: StoreTable, page: Page) -> None:
    """Let a page pass that can be kept at all.

    :raises PageRefused: where it alone is larger than the whole store may be.
    """
    if len(page.body) > settings.max_bytes or settings.max_pages < 1:
        raise PageRefused(f"a page of {len(page.body)} bytes is more than this store may hold")
