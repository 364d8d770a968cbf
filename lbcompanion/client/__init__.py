"""A client of the crawler's API for other programs: recordings, sessions, versions, exports, erasing, and outcomes.

It is synchronous and uses the standard library only, so it runs in scripts, in web applications and in threads.
:doc:`following` shows it.
"""

from __future__ import annotations

from lbcompanion.client.admin_client import Client
from lbcompanion.client.connection import ApiError, ClientError, NotReachable
from lbcompanion.client.values import Attempt, Erased, Missed, Outcome, Payload, Recording, Session, Version
from lbcompanion.client.webhook import Delivery, read_webhook
from lbcompanion.errors import SignatureRefused

__all__ = [
    "ApiError",
    "Attempt",
    "Client",
    "ClientError",
    "Delivery",
    "Erased",
    "Missed",
    "NotReachable",
    "Outcome",
    "Payload",
    "Recording",
    "Session",
    "SignatureRefused",
    "Version",
    "read_webhook",
]
