"""A program that receives outcomes: a resource of twisted.web that checks signatures."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from lbcompanion.protocol.signatures import WEBHOOK_KEY_ID, SignedRequest, Verifier

WEBHOOK_SECRET = b"a webhook's secret for tests"


class Receiver(Resource):
    """Accepts or refuses requests.

    :ivar answers: statuses of the next answers; after these each request is accepted. 0: no answer.
    :ivar accepted: the bodies of the accepted requests.
    :ivar headers: fields of the answers.
    """

    isLeaf = True

    def __init__(self, now: Callable[[], float], secret: bytes = WEBHOOK_SECRET) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = now
        self.answers: list[int] = []
        self.accepted: list[Any] = []
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self._verifier = Verifier(secret, key_id=WEBHOOK_KEY_ID)

    @property
    def tokens(self) -> list[str]:
        """The recordings of all accepted requests, in order."""
        return [each["recording"]["token"] for body in self.accepted for each in body["events"]]

    def render(self, request: Request) -> Any:
        body = request.content.read() if request.content is not None else b""
        headers = request.requestHeaders.getAllRawHeaders()
        fields = [(name.lower(), value) for name, values in headers for value in values]
        signed = SignedRequest(
            *(request.method.decode(), (request.getHeader(b"host") or b"").decode(), request.uri.decode(), fields, body)
        )
        self._verifier.verify(signed, self.now())
        self.requests.append((request.method.decode(), request.uri.decode()))
        status = self.answers.pop(0) if self.answers else 204
        if status == 0:
            return NOT_DONE_YET
        request.setResponseCode(status)
        for name, value in self.headers.items():
            request.setHeader(name.encode(), value.encode())
        if status < 300:
            self.accepted.append(json.loads(body))
        return b""
