"""Tokens and proofs: minting and checking. The caller supplies entropy and key.

A token is ``1`` + 22 characters of 128 random bits + 8 characters of a keyed
MAC + the owner's node name: letters, digits, ``-`` and ``_`` only, 63
characters at most. The MAC covers the other three parts as text, so an altered
token is rejected before the store is queried.
"""

from __future__ import annotations

import hmac
from base64 import b64encode, urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable
from hashlib import sha256

from lbcompanion.errors import TokenError
from lbcompanion.model import NODE_NAME
from lbcompanion.protocol.secrets import accepted_secrets

VERSION = "1"
_VERSION = VERSION.encode()
RANDOM_BYTES = 16
_RANDOM_CHARS = 22
_MAC_CHARS = 8
_HEAD_CHARS = len(VERSION) + _RANDOM_CHARS + _MAC_CHARS
#: The longest token: a node's name has 32 characters at most.
MAX_CHARS = _HEAD_CHARS + 32
_BLOCK_TOKENS = 256
# From base64 to base64url (RFC 4648 section 5).
_TO_URL_ALPHABET = bytes.maketrans(b"+/", b"-_")

#: The value of ``Repr-Digest`` (RFC 9530 section 3).
_REPR_DIGEST = "sha-256=:{}:"


class _Mac:
    """HMAC-SHA256 (RFC 2104) that hashes the key once, because every page needs a token."""

    def __init__(self, key: bytes) -> None:
        padded = key.ljust(64, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in padded))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in padded))

    def __call__(self, message: bytes) -> bytes:
        """Return the first 48 bits as 8 characters of base64url."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        # Each page needs it: base64.urlsafe_b64encode() takes twice the time.
        return b2a_base64(outer.digest()[:6], newline=False).translate(_TO_URL_ALPHABET)


class Tokens:
    """Mints tokens for one node and checks those of the whole farm.

    :param secret: the farm's secret, without surrounding white space. Tokens of all secrets that it accepts are valid.
    :param owner: this node's name; only :meth:`mint` needs it.
    :param entropy: ``entropy(n)`` returns ``n`` unguessable bytes (``os.urandom`` in the service). It is called
        once for every 256 tokens.
    """

    def __init__(self, secret: bytes, owner: str = "", entropy: Callable[[int], bytes] | None = None) -> None:
        self._macs = [_Mac(hmac.digest(accepted, b"lbc-token-1", "sha256")) for accepted in accepted_secrets(secret)]
        self._mac = self._macs[0]
        self._owner = owner.encode()
        self._entropy = entropy
        self._block = b""
        self._used = 0

    def mint(self) -> str:
        """Mint a token of this node."""
        if self._used >= len(self._block):
            if self._entropy is None or not self._owner:
                raise TokenError("this side mints no tokens: it has no entropy or no node name")
            self._block = self._entropy(RANDOM_BYTES * _BLOCK_TOKENS)
            self._used = 0
        used = self._used
        random = b2a_base64(self._block[used : used + RANDOM_BYTES], newline=False)
        self._used = used + RANDOM_BYTES
        start = _VERSION + random[:_RANDOM_CHARS].translate(_TO_URL_ALPHABET)
        owner = self._owner
        return (start + self._mac(start + owner) + owner).decode()

    def owner_of(self, token: str) -> str:
        """Return the name of the node that owns a token.

        :raises TokenError: if this farm did not mint the token.
        """
        owner = token[_HEAD_CHARS:]
        if not token.isascii() or token[:1] != VERSION or not NODE_NAME.fullmatch(owner):
            raise TokenError("not a token of this version")
        start = token[: len(VERSION) + _RANDOM_CHARS]
        mac = token[len(VERSION) + _RANDOM_CHARS : _HEAD_CHARS]
        message = (start + owner).encode()
        if not any(hmac.compare_digest(mac.encode(), accepted(message)) for accepted in self._macs):
            raise TokenError("not a token of this farm's")
        return owner


def abbreviate(token: str) -> str:
    """Abbreviate a token for logs: enough to identify it, too little to use it."""
    return f"{token[:6]}...{token[_HEAD_CHARS:]}" if len(token) > _HEAD_CHARS else f"{token[:4]}..."


def repr_digest(digest: bytes) -> str:
    """Return the ``Repr-Digest`` value (RFC 9530) for a SHA-256 digest of 32 bytes."""
    return _REPR_DIGEST.format(b64encode(digest).decode())


def is_digest_of(digest: str, body: bytes) -> bool:
    """Whether a ``Repr-Digest`` value, in the form of :func:`repr_digest`, matches the bytes."""
    return digest == repr_digest(digest_of(body))


def proof(secret: bytes, node: str, token: str, nonce: str, digest: str = "", page_head: str = "") -> str:
    """Compute the value of ``Lbc-Proof``, which proves the answering node and the answer's digest.

    :param secret: the farm's secret itself.
    :param node: the answering node's name.
    :param token: the requested token; empty for ``whoami``.
    :param nonce: the caller's ``Lbc-Nonce``.
    :param digest: the answer's ``Repr-Digest`` value; empty if the answer has none.
    :param page_head: the answer's ``Lbc-Page-Head`` value; empty if the answer has none.
    :returns: base64url with its padding (RFC 4648 section 3.2) of HMAC-SHA256 over the parts joined by line feeds.
    """
    if page_head:
        parts = ["lbc-proof-2", node, token, nonce, digest, page_head]
    else:
        parts = ["lbc-proof-1", node, token, nonce, *([digest] if digest else [])]
    return urlsafe_b64encode(hmac.digest(secret, "\n".join(parts).encode(), "sha256")).decode()


def is_valid_proof(
    received: str, secret: bytes, node: str, token: str, nonce: str, digest: str = "", page_head: str = ""
) -> bool:
    """Whether ``received`` equals :func:`proof` of the same parts, with or without padding.

    :param secret: the farm's secret; proofs by all secrets that it accepts are valid.
    """
    if not received.isascii():
        return False
    expected = [proof(accepted, node, token, nonce, digest, page_head) for accepted in accepted_secrets(secret)]
    return any(hmac.compare_digest(received.rstrip("="), value.rstrip("=")) for value in expected)


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 of the bytes, 32 bytes."""
    return sha256(body).digest()


def digests_of(body: bytes, rest: bytes) -> tuple[bytes, bytes]:
    """Return the SHA-256 of the body, and that of the body followed by the rest; the body is read once."""
    hasher = sha256(body)
    of_body = hasher.digest()
    hasher.update(rest)
    return of_body, hasher.digest()
