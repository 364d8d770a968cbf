"""Asking the owner: one hop, signed, loop-free (CONTRACT section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import treq
from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from lbcompanion.http1.heads import Field
from lbcompanion.node.copies import GUARDS, Ask
from lbcompanion.node.hub import LocalAnswer
from lbcompanion.signatures import Signer
from lbcompanion.tokens import digest_of, proof, proof_holds, repr_digest

#: Who bears this goes no further.
HOP = "Lbc-Hop"
_TIMEOUT_SECONDS = 10.0
_PASSED = (
    "Content-Type",
    "Lbc-Page-Url",
    "Lbc-Page-Method",
    "Lbc-Page-Status",
    "Lbc-Captured-At",
    "Repr-Digest",
    "Retry-After",
)


@frozen
class _Answer:
    status: int
    headers: Any
    body: bytes


class Peers:
    """Passes requests on to the owners whose addresses are known.

    :param nonces: gives a fresh nonce at each call.
    :param clock: seconds since the epoch.
    :param max_bytes: the largest copy that may come.
    """

    def __init__(
        self,
        node: str,
        secret: bytes,
        prefix: str,
        addresses: Mapping[str, str],
        reactor: Any,
        nonces: Callable[[], str],
        clock: Callable[[], float],
        max_bytes: int,
    ) -> None:
        self._node = node
        self._secret = secret
        self._prefix = prefix
        self._addresses = addresses
        self._nonces = nonces
        self._clock = clock
        self._max_bytes = max_bytes
        self._signer = Signer(secret)
        self._pool = HTTPConnectionPool(reactor)
        self._client = HTTPClient(Agent(reactor, connectTimeout=5, pool=self._pool))
        self._reactor = reactor

    def close(self) -> Deferred[None]:
        """Let go of the connections."""
        closing: Deferred[None] = self._pool.closeCachedConnections()
        return closing

    def pass_on(self, method: bytes, owner: str, ask: Ask) -> Deferred[LocalAnswer | None] | None:
        """Ask the owner. None where its address is not known; a Deferred with None where it gave no proven answer."""
        base = self._addresses.get(owner)
        if base is None:
            return None
        return Deferred.fromCoroutine(self._pass_on(method.decode(), base, owner, ask))

    async def _pass_on(self, method: str, base: str, owner: str, ask: Ask) -> LocalAnswer | None:
        url = f"{base.rstrip('/')}{self._prefix}/page/{ask.token}"
        nonce = self._nonces()
        headers = Headers()
        for name, value in self._signer.sign(method, url, nonce, self._clock()):
            headers.addRawHeader(name, value)
        headers.addRawHeader(HOP, self._node)
        headers.addRawHeader("Accept-Encoding", "identity")
        try:
            answer = await self._ask(method, url, headers)
        except Exception:
            # A peer that cannot be reached is as good as one that is not known: the caller is told "misrouted".
            return None
        return self._proven(method, owner, ask, nonce, answer)

    async def _ask(self, method: str, url: str, headers: Headers) -> _Answer:
        response = await self._client.request(
            method,
            url,
            headers=headers,
            allow_redirects=False,
            unbuffered=True,
            timeout=_TIMEOUT_SECONDS,
            reactor=self._reactor,
        )
        pieces: list[bytes] = []
        size = 0

        def take(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size > self._max_bytes:
                raise ValueError("the peer's copy is larger than allowed")
            pieces.append(data)

        await treq.collect(response, take).addTimeout(_TIMEOUT_SECONDS, self._reactor)
        return _Answer(response.code, response.headers, b"".join(pieces))

    def _proven(self, method: str, owner: str, ask: Ask, nonce: str, answer: _Answer) -> LocalAnswer | None:
        """The owner's answer under our own name, once its proof and digest hold."""
        if answer.status == 204 and method == "DELETE":
            return LocalAnswer(204, list(GUARDS))
        if answer.status == 503:
            # It owns the copy and cannot give it now; nothing is believed of it but that one may ask again.
            again: list[Field] = [(b"Content-Type", b"application/problem+json"), (b"Retry-After", b"1"), *GUARDS]
            return LocalAnswer(503, again, answer.body)
        digest = _header(answer, "Repr-Digest")
        if answer.status not in {200, 404} or not digest:
            return None
        if method != "HEAD" and repr_digest(digest_of(answer.body)) != digest:
            return None
        if not proof_holds(_header(answer, "Lbc-Proof"), self._secret, owner, ask.token, nonce, digest):
            return None
        fields: list[Field] = [
            (name.encode(), value.encode("latin-1")) for name in _PASSED if (value := _header(answer, name))
        ]
        fields.append((b"Lbc-Node", self._node.encode()))
        if ask.nonce:
            mine = proof(self._secret, self._node, ask.token, ask.nonce, digest)
            fields.append((b"Lbc-Proof", mine.encode()))
        fields.append((b"Lbc-Via", b"peer"))
        length = _header(answer, "Content-Length") if method == "HEAD" else ""
        return LocalAnswer(
            answer.status, [*fields, *GUARDS], answer.body, length=int(length) if length.isdecimal() else None
        )


def _header(answer: _Answer, name: str) -> str:
    # Asked for by bytes, since asked for by text Twisted takes the values for UTF-8.
    values: list[bytes] = answer.headers.getRawHeaders(name.encode()) or [b""]
    return values[0].decode("latin-1")
