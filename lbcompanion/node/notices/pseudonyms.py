"""Pseudonyms in notices. The crawler counts the senders of a cookie's value by the pseudonym of the sender. It groups
and erases recordings by the pseudonym of the visitor."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256

from lbcompanion.node.proxy.client_info import address_of
from lbcompanion.node.proxy.context import InternalRequest
from lbcompanion.protocol.visitors import visitor_key, visitor_pseudonym
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.credentials import is_credential_name

#: Long enough for a collision to be rare among a million visitors.
_BYTES = 9
_MAX_USER_AGENT = 1024
_MAX_SESSIONS = 8


class Pseudonyms:
    """Makes a sender's pseudonym from the address, the ``User-Agent`` and the session's cookies, keyed with the farm's
    secret: all nodes make the same one, and without the secret nobody finds what it was made from.

    Behind a balancer that does not send the client's address only sessions tell visitors apart.

    :param trusts: whether an address is one of a trusted proxy.
    """

    def __init__(self, secret: bytes, trusts: Callable[[str], bool]) -> None:
        self._key = hmac.digest(secret, b"lbcompanion: pseudonyms of visitors", sha256)
        self._trusts = trusts

    def __call__(self, request: InternalRequest) -> str:
        """Return the pseudonym of a request's sender."""
        head, address = request.head, request.peer
        if request.trusted:
            address = address_of(head, address, b"x-forwarded-for", self._trusts)
        agent = (head.get(b"user-agent") or b"")[:_MAX_USER_AGENT]
        cookies = parse(b"; ".join(head.all(b"cookie")))
        sessions = sorted(f"{name}={value}" for name, value in cookies.items() if is_credential_name(name))
        parts = [address, agent.decode("latin-1"), *sessions[:_MAX_SESSIONS]]
        digest = hmac.digest(self._key, "\n".join(parts).encode("utf-8", "replace"), sha256)
        return base64.urlsafe_b64encode(digest[:_BYTES]).decode()


class VisitorPseudonyms:
    """Makes a visitor's pseudonym from the value of the visitor cookie.

    :param cookie: the cookie's name (``[capture] visitor_cookie``).
    """

    def __init__(self, secret: bytes, cookie: str) -> None:
        self._key = visitor_key(secret)
        self._cookie = cookie

    def __call__(self, cookies: Mapping[str, str]) -> str:
        """Return the pseudonym of the visitor who sent these cookies; empty if no visitor cookie is among them."""
        value = cookies.get(self._cookie, "")
        return visitor_pseudonym(self._key, value) if value else ""
