"""Checks and reads the requests of a webhook, for the program that receives them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping

from attrs import frozen

from lbcompanion.client.values import Missed, Outcome, Recording
from lbcompanion.errors import SignatureRefused
from lbcompanion.protocol.secrets import FarmSecret
from lbcompanion.protocol.signatures import WEBHOOK_KEY_ID, SignedRequest, Verifier


@frozen
class Delivery:
    """The contents of a request of a webhook.

    :ivar webhook: its name in the crawler's configuration.
    :ivar outcomes: in their order. Some may have come before, with the same ``id``.
    :ivar missed: set if outcomes before these were deleted before they could be sent.
    """

    webhook: str
    outcomes: tuple[Outcome, ...]
    missed: Missed | None = None


def read_webhook(
    secret: bytes,
    *,
    target: str,
    headers: Mapping[str, str] | Iterable[tuple[str, str]],
    body: bytes,
    method: str = "POST",
    also_accepted: Iterable[bytes] = (),
    host: str = "",
    now: float | None = None,
) -> Delivery:
    """Check the signature of a request, and read it.

    :param secret: the contents of ``secret_file``, without surrounding white space.
    :param target: path and query of the request, as they were received: ``/hook?a=1``.
    :param headers: all header fields.
    :param also_accepted: further secrets, while the secret is replaced.
    :param host: the host in the webhook's URL, where a proxy has replaced ``Host``; empty: the one of ``headers``.
    :param now: seconds since the epoch; None: the present time.
    :raises SignatureRefused: if it is not a request of this webhook.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in pairs]
    authority = host or next((value.decode("latin-1") for name, value in fields if name == b"host"), "")
    if not body:
        raise SignatureRefused("the request has no body")
    verifier = Verifier(FarmSecret(secret, also_accepted), key_id=WEBHOOK_KEY_ID)
    verifier.verify(SignedRequest(method, authority, target, fields, body), time.time() if now is None else now)
    given = json.loads(body)
    missed = given["missed"]
    return Delivery(
        given["webhook"],
        tuple(Outcome(each["id"], Recording.read(each["recording"])) for each in given["events"]),
        None if missed is None else Missed(missed["continues_after"]),
    )
