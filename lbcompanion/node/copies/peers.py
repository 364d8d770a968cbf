"""Signed requests to peers for copies, and transfers of copies to them (docs/reference-listener.rst, docs/flow.rst).

A node that lacks a copy asks its owner first. If the owner does not answer, or does not know the copy, a peer may have
it, to which the owner transferred it when it stopped. Owner and asker both use :func:`rendezvous_order` of the token
and the peers' names, so they try the same peers first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredList
from twisted.web.client import Agent
from twisted.web.http_headers import Headers

from lbcompanion.model import MissReason, WallClock
from lbcompanion.node.copies.service import CopyRequest
from lbcompanion.node.proxy.answers import COPY_GUARDS, GUARDS, PROBLEM, no_content
from lbcompanion.node.proxy.context import InternalResponse
from lbcompanion.protocol.headers import AUTHORITY, HOP, PAGE_HEAD, REPR_DIGEST, Identity, relayed_fields
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import is_digest_of
from lbcompanion.web import BytesProducer, IdentifyingAgent, connection_pool, read_body

#: How many peers are asked for a copy, in addition to the owner.
MAX_PEERS_ASKED = 3
_TIMEOUT_SECONDS = 10.0
#: How long asking the peers may take, after the owner: the crawler waits for 20 s.
_SEARCH_SECONDS = 8.0
_PER_PEER_SECONDS = 4.0
#: How long a peer that did not answer in time is not asked.
_BACKOFF_SECONDS = 5.0
_AUTHENTICATION_SECONDS = 2.0
_SMALL_BYTES = 65536
_CONNECTIONS = 8
_FINAL_REASONS = frozenset({MissReason.EXPIRED.value, MissReason.PULLED.value, MissReason.EVICTED.value})


def rendezvous_order(token: str, names: Iterable[str]) -> list[str]:
    """The peers in the order in which they are asked to store a copy, and asked for it.

    Rendezvous hashing (Thaler and Ravishankar, 1996) spreads the copies evenly, and a peer that joins or leaves does
    not change the order of the others."""
    return sorted(names, key=lambda name: (sha256(f"{token}\n{name}".encode()).digest(), name))


@frozen
class _PeerResponse:
    status: int
    headers: Any
    body: bytes

    def header(self, name: str) -> str:
        """The first value of a field; empty if there is none."""
        # With a name in bytes, since Twisted decodes the values as UTF-8 for a name in text.
        values: list[bytes] = self.headers.getRawHeaders(name.encode()) or [b""]
        return values[0].decode("latin-1")


class Peers:
    """The other nodes of the farm.

    :param addresses: node name to origin; this node's own name is ignored.
    :param nonces: returns a new nonce.
    :param now: seconds since the epoch.
    :param max_bytes: the largest response body.
    """

    def __init__(
        self,
        *,
        node: str,
        secret: bytes,
        prefix: str,
        addresses: Mapping[str, str],
        reactor: Any,
        nonces: Callable[[], str],
        now: WallClock,
        max_bytes: int,
    ) -> None:
        self._node = node
        self._secret = secret
        self._prefix = prefix
        self._addresses = addresses
        self._nonces = nonces
        self._now = now
        self._max_bytes = max_bytes
        self._signer = Signer(secret)
        self._pool = connection_pool(reactor, persistent=True)
        self._pool.maxPersistentPerHost = _CONNECTIONS
        self._client = HTTPClient(IdentifyingAgent(Agent(reactor, connectTimeout=5, pool=self._pool)))
        self._reactor = reactor
        self._backoff_until: dict[str, float] = {}

    def close(self) -> Deferred[None]:
        """Close the connections."""
        closing: Deferred[None] = self._pool.closeCachedConnections()
        return closing

    @property
    def names(self) -> list[str]:
        """The names of the other nodes."""
        return [name for name in self._addresses if name != self._node]

    # Requests for copies.

    def ask_peers(
        self, method: bytes, owner: str, copy_request: CopyRequest
    ) -> Deferred[InternalResponse | None] | None:
        """Ask the owner, then peers that may store the copy for it.

        :returns: None if there is no node to ask; a Deferred with None if no node gave a verified response that says
            more than that it has no such copy."""
        others = rendezvous_order(copy_request.token, [name for name in self.names if name != owner])[:MAX_PEERS_ASKED]
        owners = [owner] if owner in self._addresses and owner != self._node else []
        if not owners and not others:
            return None
        return Deferred.fromCoroutine(self._search(method.decode(), [*owners, *others], owner, copy_request))

    async def _search(
        self, method: str, names: list[str], owner: str, copy_request: CopyRequest
    ) -> InternalResponse | None:
        best: InternalResponse | None = None
        deadline: float | None = None
        for name in names:
            if name != owner and deadline is None:
                deadline = self._reactor.seconds() + _SEARCH_SECONDS
            left = _TIMEOUT_SECONDS if deadline is None else min(deadline - self._reactor.seconds(), _PER_PEER_SECONDS)
            if left <= 0 or self._in_backoff(name):
                continue
            answer = await self._ask_peer(method, name, copy_request, left)
            if answer is None:
                continue
            if _is_final(answer, of_owner=name == owner):
                return answer
            if name == owner or answer.status == 503:
                # A response of the owner, or a 503 (there may be a copy), says more than "not here".
                best = answer if best is None or answer.status == 503 else best
        return best

    def _in_backoff(self, name: str) -> bool:
        return bool(self._reactor.seconds() < self._backoff_until.get(name, float("-inf")))

    async def _ask_peer(
        self, method: str, name: str, copy_request: CopyRequest, seconds: float
    ) -> InternalResponse | None:
        nonce = self._nonces()
        started_at = self._reactor.seconds()
        asked = [(PAGE_HEAD.text, "1")] if copy_request.with_head else []
        try:
            answer = await self._send_request(
                method, name, f"/page/{copy_request.token}", nonce, self._max_bytes, seconds, fields=asked
            )
        except Exception:
            # An unreachable peer counts as unknown: the caller gets "misrouted".
            if self._reactor.seconds() - started_at >= _PER_PEER_SECONDS:
                self._backoff_until[name] = self._reactor.seconds() + _BACKOFF_SECONDS
            return None
        return self._verified_response(method, name, copy_request, nonce, answer)

    async def _send_request(
        self,
        method: str,
        name: str,
        path: str,
        nonce: str,
        max_bytes: int,
        seconds: float,
        *,
        body: bytes | None = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> _PeerResponse:
        """Send a signed request.

        :param fields: further header fields.
        :raises Exception: of many kinds, if no complete response is received.
        """
        url = f"{self._addresses[name].rstrip('/')}{self._prefix}{path}"
        headers = Headers()
        for key, value in (*self._signer.sign(method, url, nonce, self._now(), body), *fields):
            headers.addRawHeader(key, value)
        headers.addRawHeader(AUTHORITY.text, urlsplit(url).netloc)
        headers.addRawHeader(HOP.text, self._node)
        if body is not None:
            headers.addRawHeader("Content-Type", "application/octet-stream")
        started_at = self._reactor.seconds()
        response = await self._client.request(
            method,
            url,
            headers=headers,
            data=None if body is None else BytesProducer(body),
            allow_redirects=False,
            unbuffered=True,
            timeout=seconds,
            reactor=self._reactor,
        )
        left = max(seconds - (self._reactor.seconds() - started_at), 0.1)
        response_body = await read_body(response, max_bytes).addTimeout(left, self._reactor)
        return _PeerResponse(response.code, response.headers, response_body)

    def _verified_response(
        self, method: str, name: str, copy_request: CopyRequest, nonce: str, answer: _PeerResponse
    ) -> InternalResponse | None:
        """The peer's response with this node's proof; None if the peer's proof or digest is wrong."""
        if answer.status == 204 and method == "DELETE":
            return no_content()
        if answer.status == 503:
            # The peer may have the copy but cannot send it now; without a proof, only "try again" is passed on.
            return InternalResponse(503, [PROBLEM, (b"Retry-After", b"1"), *GUARDS], answer.body)
        digest = answer.header(REPR_DIGEST.lower)
        if answer.status not in {200, 404} or not digest:
            return None
        if method != "HEAD" and not is_digest_of(digest, answer.body):
            return None
        if not self._identity_of(name).is_proven(answer.header, copy_request.token, nonce, digest):
            return None
        fields = relayed_fields(
            answer.header, self._identity_of(self._node), token=copy_request.token, nonce=copy_request.nonce
        )
        length = answer.header("content-length") if method == "HEAD" else ""
        return InternalResponse(
            answer.status,
            [*fields, *(COPY_GUARDS if answer.status == 200 else GUARDS)],
            answer.body,
            length=int(length) if length.isdecimal() else None,
        )

    # Transfers of copies.

    async def authenticate_all(self) -> list[str]:
        """The names of the peers that answer and prove their identity: copies are sent to no others."""
        names = self.names
        results = await DeferredList(
            [Deferred.fromCoroutine(self._authenticate(name)) for name in names], consumeErrors=True
        )
        return [name for name, (_, authenticated) in zip(names, results, strict=True) if authenticated is True]

    async def _authenticate(self, name: str) -> bool:
        nonce = self._nonces()
        answer = await self._send_request("GET", name, "/whoami", nonce, _SMALL_BYTES, _AUTHENTICATION_SECONDS)
        return answer.status == 200 and self._identity_of(name).is_proven(answer.header, "", nonce)

    async def put(self, name: str, token: str, encoded: bytes, digest: str, seconds: float) -> int:
        """Transfer a copy to a peer.

        :param encoded: the copy with its metadata (:func:`lbcompanion.protocol.copies.write_copy`).
        :param digest: the copy's ``Repr-Digest``.
        :returns: the status; 0 for a 204 without a valid proof.
        :raises Exception: of many kinds, if no response is received in time.
        """
        nonce = self._nonces()
        answer = await self._send_request("PUT", name, f"/page/{token}", nonce, _SMALL_BYTES, seconds, body=encoded)
        if answer.status == 204 and not self._identity_of(name).is_proven(answer.header, token, nonce, digest):
            return 0
        return answer.status

    def _identity_of(self, name: str) -> Identity:
        return Identity(name, self._secret)


def _is_final(answer: InternalResponse, *, of_owner: bool) -> bool:
    """Whether this response is final, so that no further node is asked."""
    if answer.status != 404:
        return of_owner or answer.status != 503
    try:
        problem = json.loads(answer.body)
    except ValueError:  # HEAD has no body
        return False
    # A node that had the copy knows why it is gone; only the owner knows that it never became a copy.
    return problem.get("reason") in _FINAL_REASONS or (of_owner and bool(problem.get("detail")))
