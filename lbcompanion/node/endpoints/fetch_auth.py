"""Authorizes fetches by signature and client address, by both if both are configured (docs/reference-listener.rst)."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lbcompanion.errors import SignatureRefused
from lbcompanion.model import WallClock
from lbcompanion.node.proxy.client_info import address_of, is_listed
from lbcompanion.node.proxy.context import InternalRequest
from lbcompanion.protocol.signatures import FARM_KEY_ID, SignedRequest, Verifier
from lbcompanion.settings import FetchTable


@frozen
class AuthResult:
    """The result of an authorization.

    :ivar why: the rule that the caller broke; for the log, never sent to the refused caller.
    """

    allowed: bool
    address: str
    key: str = ""
    why: str = ""


class FetchAuthorizer:
    """Authorizes callers.

    :param trusted: whether an address is a trusted proxy's.
    :param now: seconds since the epoch.
    """

    def __init__(self, *, fetch: FetchTable, secret: bytes, trusted: Callable[[str], bool], now: WallClock) -> None:
        self._fetch = fetch
        self._verifier = Verifier(secret, fetch.public_keys)
        self._trusted = trusted
        self._now = now

    def authorize(self, request: InternalRequest) -> AuthResult:
        """Whether this caller may GET and DELETE copies and see the debug page."""
        address = self._address(request)
        if self._fetch.addresses and not is_listed(address, self._fetch.addresses):
            return AuthResult(False, address, why="the address is not listed")
        if self._fetch.signature == "off":
            return AuthResult(True, address)
        try:
            key = self._verifier.verify(_signed(request), self._now())
        except SignatureRefused as refused:
            return AuthResult(False, address, why=str(refused))
        return AuthResult(True, address, key)

    def authorize_node(self, request: InternalRequest, *, body_follows: bool = False) -> AuthResult:
        """Whether this caller is a node of this farm, which may PUT copies.

        It must sign with the farm's secret, even if fetches need no signature.

        :param body_follows: verify the head only; a truncated body is not verified either.
        """
        address = self._address(request)
        if self._fetch.addresses and not is_listed(address, self._fetch.addresses):
            return AuthResult(False, address, why="the address is not listed")
        verify = self._verifier.verify_head if body_follows or request.truncated else self._verifier.verify
        try:
            key = verify(_signed(request), self._now())
        except SignatureRefused as refused:
            return AuthResult(False, address, why=str(refused))
        if key != FARM_KEY_ID:
            return AuthResult(False, address, key, "only nodes of this farm may put copies")
        return AuthResult(True, address, key)

    def _address(self, request: InternalRequest) -> str:
        """The client address: the peer's, or the one in the configured field of a trusted proxy."""
        name = self._fetch.address_header.lower().encode()
        if not name or not request.trusted:
            return request.peer
        return address_of(request.head, request.peer, name, self._trusted)


def _signed(request: InternalRequest) -> SignedRequest:
    head = request.head
    return SignedRequest(
        method=head.method.decode("ascii"),
        authority=(head.get(b"host") or b"").decode("latin-1").lower(),
        path=head.path.decode("latin-1"),
        fields=head.fields,
        body=request.body,
    )
