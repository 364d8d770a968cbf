"""Asking peers, and giving copies to them: one hop, signed, loop-free (docs/reference-listener.rst, docs/flow.rst).

Who asks for a copy that is not here asks its owner first. Where the owner gave no answer, or has forgotten, the copy
may be with the peer that the owner gave it to when it stopped: in the order that :func:`rendezvous_order` makes of the token
and the peers' names, giver and asker meet at the same few.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred, DeferredList
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers

from lbcompanion.model import MissReason, WallClock
from lbcompanion.node.copies.service import CopyRequest
from lbcompanion.node.proxy.answers import GUARDS, PROBLEM, no_content
from lbcompanion.node.proxy.context import InternalResponse
from lbcompanion.protocol.headers import HOP, REPR_DIGEST, Identity, relayed_fields
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import is_digest_of
from lbcompanion.web import BytesProducer, read_body

#: How many peers beside the owner are asked for a copy.
MAX_PEERS_ASKED = 3
_TIMEOUT_SECONDS = 10.0
#: How long the search among peers may take beside the asking of the owner: the crawler waits for 20 s.
_SEARCH_SECONDS = 8.0
_PER_PEER_SECONDS = 4.0
#: A peer that did not answer in its time is not asked again for so long.
_BACKOFF_SECONDS = 5.0
_AUTHENTICATION_SECONDS = 2.0
_SMALL_BYTES = 65536
_CONNECTIONS = 8
_FINAL_REASONS = frozenset({MissReason.EXPIRED.value, MissReason.PULLED.value, MissReason.EVICTED.value})


def rendezvous_order(token: str, names: Iterable[str]) -> list[str]:
    """The names in the order in which they are to be asked to keep a copy, and for it, that anybody can make again:
    by rendezvous hashing (Thaler and Ravishankar, 1996), so that copies spread over all, and a name that comes or goes
    moves no others."""
    return sorted(names, key=lambda name: (sha256(f"{token}\n{name}".encode()).digest(), name))


@frozen
class _PeerResponse:
    status: int
    headers: Any
    body: bytes

    def header(self, name: str) -> str:
        """The first value of a header, or empty."""
        # Asked for by bytes, since asked for by text Twisted takes the values for UTF-8.
        values: list[bytes] = self.headers.getRawHeaders(name.encode()) or [b""]
        return values[0].decode("latin-1")


class Peers:
    """The nodes whose addresses are known.

    :param addresses: name to origin; this node's own name counts for nothing.
    :param nonces: gives a fresh nonce at each call.
    :param now: seconds since the epoch.
    :param max_bytes: the largest copy that may come.
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
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = _CONNECTIONS
        self._client = HTTPClient(Agent(reactor, connectTimeout=5, pool=self._pool))
        self._reactor = reactor
        self._backoff_until: dict[str, float] = {}

    def close(self) -> Deferred[None]:
        """Let go of the connections."""
        closing: Deferred[None] = self._pool.closeCachedConnections()
        return closing

    @property
    def names(self) -> list[str]:
        """The other nodes that are known."""
        return [name for name in self._addresses if name != self._node]

    # Asking.

    def ask_peers(
        self, method: bytes, owner: str, copy_request: CopyRequest
    ) -> Deferred[InternalResponse | None] | None:
        """Ask the owner, then others who may keep the copy for it. None where nobody is known; a Deferred with None
        where nobody gave a proven answer that says more than that it has no such copy."""
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
            if _is_final(answer, name == owner):
                return answer
            if name == owner or answer.status == 503:
                # The owner's own word, or that there may be a copy that cannot be given now, says more than "not here".
                best = answer if best is None or answer.status == 503 else best
        return best

    def _in_backoff(self, name: str) -> bool:
        return bool(self._reactor.seconds() < self._backoff_until.get(name, float("-inf")))

    async def _ask_peer(
        self, method: str, name: str, copy_request: CopyRequest, seconds: float
    ) -> InternalResponse | None:
        nonce = self._nonces()
        begun = self._reactor.seconds()
        try:
            answer = await self._send_request(
                method, name, f"/page/{copy_request.token}", nonce, self._max_bytes, seconds
            )
        except Exception:
            # A peer that cannot be reached is as good as one that is not known: the caller is told "misrouted".
            if self._reactor.seconds() - begun >= _PER_PEER_SECONDS:
                self._backoff_until[name] = self._reactor.seconds() + _BACKOFF_SECONDS
            return None
        return self._verified_response(method, name, copy_request, nonce, answer)

    async def _send_request(
        self, method: str, name: str, path: str, nonce: str, max_bytes: int, seconds: float, body: bytes | None = None
    ) -> _PeerResponse:
        """Send a signed request.

        :raises Exception: of many kinds, where no whole answer comes.
        """
        url = f"{self._addresses[name].rstrip('/')}{self._prefix}{path}"
        headers = Headers()
        for key, value in self._signer.sign(method, url, nonce, self._now(), body):
            headers.addRawHeader(key, value)
        headers.addRawHeader(HOP.text, self._node)
        headers.addRawHeader("Accept-Encoding", "identity")
        if body is not None:
            headers.addRawHeader("Content-Type", "application/octet-stream")
        begun = self._reactor.seconds()
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
        left = max(seconds - (self._reactor.seconds() - begun), 0.1)
        response_body = await read_body(response, max_bytes).addTimeout(left, self._reactor)
        return _PeerResponse(response.code, response.headers, response_body)

    def _verified_response(
        self, method: str, name: str, copy_request: CopyRequest, nonce: str, answer: _PeerResponse
    ) -> InternalResponse | None:
        """The peer's answer under our own name, once its proof and digest hold."""
        if answer.status == 204 and method == "DELETE":
            return no_content()
        if answer.status == 503:
            # It may have the copy and cannot give it now; nothing is believed of it but that one may ask again.
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
            answer.status, [*fields, *GUARDS], answer.body, length=int(length) if length.isdecimal() else None
        )

    # Giving.

    async def authenticate_all(self) -> list[str]:
        """Those that are there, and prove that they are who they are taken for: no copy is sent to anybody else."""
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
        """Give a copy to a peer.

        :param encoded: the copy and what is known of it (:func:`lbcompanion.protocol.copies.write_copy`).
        :param digest: the copy's ``Repr-Digest``.
        :returns: 204 where it keeps it and proved that, 0 where it said so without proof, else its status.
        :raises Exception: of many kinds, where no answer comes in that time.
        """
        nonce = self._nonces()
        answer = await self._send_request("PUT", name, f"/page/{token}", nonce, _SMALL_BYTES, seconds, encoded)
        if answer.status == 204 and not self._identity_of(name).is_proven(answer.header, token, nonce, digest):
            return 0
        return answer.status

    def _identity_of(self, name: str) -> Identity:
        return Identity(name, self._secret)


def _is_final(answer: InternalResponse, of_owner: bool) -> bool:
    """Whether nobody else need be asked after this answer."""
    if answer.status != 404:
        return of_owner or answer.status != 503
    try:
        problem = json.loads(answer.body)
    except ValueError:  # of HEAD
        return False
    # Why it is gone is known to who had it; that it never became a copy, to its owner.
    return problem.get("reason") in _FINAL_REASONS or (of_owner and bool(problem.get("detail")))
