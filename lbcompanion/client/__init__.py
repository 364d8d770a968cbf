"""A client of the crawler's API for other programs: recordings, sessions, versions, exports, erasing, and outcomes.

It is synchronous and uses the standard library only, so it runs in scripts, in web applications and in threads.
:doc:`following` shows it.
"""

from __future__ import annotations

from lbcompanion.client.admin_client import Client
from lbcompanion.client.connection import ApiError, ClientError, NotReachable
from lbcompanion.client.values import (
    Attempt,
    Erased,
    FilesOfPage,
    Missed,
    Outcome,
    Payload,
    Recording,
    Session,
    Version,
    WarcPlace,
)
from lbcompanion.client.webhook import Delivery, read_webhook
from lbcompanion.errors import SignatureRefused
from lbcompanion.protocol.removed_parts import RemovedParts

__all__ = [
    "ApiError",
    "Attempt",
    "Client",
    "ClientError",
    "Delivery",
    "Erased",
    "FilesOfPage",
    "Missed",
    "NotReachable",
    "Outcome",
    "Payload",
    "Recording",
    "RemovedParts",
    "Session",
    "SignatureRefused",
    "Version",
    "WarcPlace",
    "read_webhook",
]
