"""The rule for the expiry of copies, which all providers share.

The rule is here in three forms: in Python, as bounds for an index, and in Lua for Redis. To change the rule, change
these three forms and nothing else.
"""

from __future__ import annotations

from math import inf

from lbcompanion.errors import PageRefused
from lbcompanion.model import MissReason
from lbcompanion.settings import StoreTable


def expiry_reason(settings: StoreTable, stored_at: float, sent_at: float | None, now: float) -> MissReason | None:
    """Return why a copy has ended, or None while it is valid.

    The age counts from the time of storing, not from the response head: otherwise the copy of a slow response would
    be old from the start. If both limits have passed, report the earlier one.

    :param sent_at: when the copy was first sent completely; None if it was not sent yet.
    """
    expires_at = stored_at + settings.max_seconds
    counts_pulled = sent_at is not None and settings.delete_after_pull
    pulled_at = sent_at + settings.pull_grace_seconds if counts_pulled and sent_at is not None else inf
    if now < expires_at and now < pulled_at:
        return None
    return MissReason.PULLED if pulled_at <= expires_at else MissReason.EXPIRED


#: The rule in Lua: ``over(token, stored)`` returns the reason or nil. The script must define the numbers ``now``,
#: ``max_seconds`` and ``grace`` (:func:`grace_seconds`, negative for None). ``lbc:sent`` has the times of sending.
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
    """Return for how long a sent copy is kept; None if sending does not shorten its life."""
    return settings.pull_grace_seconds if settings.delete_after_pull else None


def expiry_bounds(settings: StoreTable, now: float) -> tuple[float, float | None]:
    """Return the bounds for an index: a copy stored, or sent, at this time or earlier has ended by now.

    The bounds only select candidates. :func:`expiry_reason` decides, because sums and differences of times are rounded
    differently.

    :returns: the bound for ``stored_at``, and the bound for ``sent_at`` (None if sending does not shorten a life).
    """
    grace = grace_seconds(settings)
    return now - settings.max_seconds, None if grace is None else now - grace


def check_size(settings: StoreTable, size: int) -> None:
    """Check that a page of this size (:attr:`lbcompanion.model.Page.size`) fits into an empty store.

    :raises PageRefused: if the page alone exceeds the limits of the store.
    """
    if size > settings.max_bytes or settings.max_pages < 1:
        raise PageRefused(f"a page of {size} bytes is more than this store may hold")
