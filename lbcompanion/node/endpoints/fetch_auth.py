"""Authorizes fetches by signature and client address, by both if both are configured (docs/reference-listener.rst)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from lbcompanion.errors import SignatureRefused
from lbcompanion.model import WallClock
from lbcompanion.node.endpoints.used_nonces import NonceStore
from lbcompanion.node.proxy.client_info import PublicOrigin, address_of, is_listed
from lbcompanion.node.proxy.context import InternalRequest
from lbcompanion.protocol import headers
from lbcompanion.protocol.signatures import FARM_KEY_ID, SignedRequest, Verifier
from lbcompanion.settings import FetchTable


@frozen
class AuthResult:
    """The result of an authorization.

    :ivar why: the rule that the caller broke; for the log, never sent to the refused caller.
    :ivar public_host: the host that the caller signed, if a balancer replaced it in ``Host``; else empty.
    """

    allowed: bool
    address: str
    key: str = ""
    why: str = ""
    public_host: str = ""


class FetchAuthorizer:
    """Authorizes callers.

    :param public_origin: ``[node] public_origin``; empty if it is not set.
    :param trusted: whether an address is a trusted proxy's.
    :param now: seconds since the epoch.
    :param nonces: of the requests to the debug page.
    """

    def __init__(
        self,
        *,
        fetch: FetchTable,
        secret: bytes,
        public_origin: str,
        trusted: Callable[[str], bool],
        now: WallClock,
        nonces: NonceStore,
    ) -> None:
        self._fetch = fetch
        self._verifier = Verifier(secret, fetch.public_keys)
        self._public_origin = PublicOrigin(public_origin)
        self._trusted = trusted
        self._now = now
        self._nonces = nonces

    def authorize(self, request: InternalRequest) -> AuthResult:
        """Whether this caller may GET and DELETE copies.

        A balancer may have replaced Host. If nothing names the original, the authority that the farm's key signed is
        accepted: a token is unguessable and belongs to one farm, so a request that was meant for another site with the
        same secret finds no copy here.
        """
        result = self._authorize(request, accepts_any_authority=not self._public_origin.is_configured)
        if not result.allowed or result.key != FARM_KEY_ID or self._public_origin.is_configured:
            return result
        signed = (request.head.get(headers.AUTHORITY.key) or b"").decode("latin-1").lower()
        known = self._public_origin.authorities(request.head, trusted=request.trusted)
        return result if not signed or signed in known else evolve(result, public_host=signed)

    def authorize_once(self, request: InternalRequest) -> AuthResult:
        """Whether this caller may see the debug page, which can send requests to the application: each signature
        counts once."""
        result = self._authorize(request, accepts_any_authority=False)
        if not result.allowed or not result.key:
            return result
        why = self._nonces.use(result.key, request.head.get(headers.NONCE.key) or b"", self._now())
        return evolve(result, allowed=False, why=why) if why else result

    def authorize_node(self, request: InternalRequest, *, body_follows: bool = False) -> AuthResult:
        """Whether this caller is a node of this farm, which may PUT copies.

        It must sign with the farm's secret, even if fetches need no signature.

        :param body_follows: verify the head only; a truncated body is not verified either.
        """
        address = self._address(request)
        if self._fetch.addresses and not is_listed(address, self._fetch.addresses):
            return AuthResult(allowed=False, address=address, why="the address is not listed")
        verify = self._verifier.verify_head if body_follows or request.truncated else self._verifier.verify
        try:
            key = verify(self._signed(request, accepts_any_authority=False), self._now())
        except SignatureRefused as refused:
            return AuthResult(allowed=False, address=address, why=str(refused))
        if key != FARM_KEY_ID:
            return AuthResult(allowed=False, address=address, key=key, why="only nodes of this farm may put copies")
        return AuthResult(allowed=True, address=address, key=key)

    def _authorize(self, request: InternalRequest, *, accepts_any_authority: bool) -> AuthResult:
        address = self._address(request)
        if self._fetch.addresses and not is_listed(address, self._fetch.addresses):
            return AuthResult(allowed=False, address=address, why="the address is not listed")
        if self._fetch.signature == "off":
            return AuthResult(allowed=True, address=address)
        try:
            key = self._verifier.verify(self._signed(request, accepts_any_authority=accepts_any_authority), self._now())
        except SignatureRefused as refused:
            return AuthResult(allowed=False, address=address, why=str(refused))
        return AuthResult(allowed=True, address=address, key=key)

    def _address(self, request: InternalRequest) -> str:
        """The client address: the peer's, or the one in the configured field of a trusted proxy."""
        name = self._fetch.address_header.lower().encode()
        if not name or not request.trusted:
            return request.peer
        return address_of(request.head, request.peer, name, self._trusted)

    def _signed(self, request: InternalRequest, *, accepts_any_authority: bool) -> SignedRequest:
        head = request.head
        host, *others = self._public_origin.authorities(head, trusted=request.trusted)
        return SignedRequest(
            method=head.method.decode("ascii"),
            authority=host,
            path=head.target.decode("latin-1"),
            fields=head.fields,
            body=request.body,
            authorities=others,
            accepts_any_authority=accepts_any_authority,
        )
