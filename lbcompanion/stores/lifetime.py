"""How long a copy may live: the one rule that every provider goes by."""

from __future__ import annotations

from math import inf

from lbcompanion.errors import PageRefused
from lbcompanion.model import MissReason, Page
from lbcompanion.settings import StoreTable


def reason_to_go(settings: StoreTable, stored_at: float, sent_at: float | None, now: float) -> MissReason | None:
    """Why a copy is no more, or None while it lives.

    Its age counts from the moment it was kept, not from the head of the response: a page that the application
    took long to write would else be old at birth. Of two ends the earlier is the one that is told.

    :param sent_at: when it first went out whole; None while it has not.
    """
    expires_at = stored_at + settings.max_seconds
    counts = sent_at is not None and settings.delete_after_pull
    pulled_at = sent_at + settings.pull_grace_seconds if counts and sent_at is not None else inf
    if now < expires_at and now < pulled_at:
        return None
    return MissReason.PULLED if pulled_at <= expires_at else MissReason.EXPIRED


def check_size(settings: StoreTable, page: Page) -> None:
    """Let a page pass that can be kept at all.

    :raises PageRefused: where it alone is larger than the whole store may be.
    """
    if len(page.body) > settings.max_bytes or settings.max_pages < 1:
        raise PageRefused(f"a page of {len(page.body)} bytes is more than this store may hold")
