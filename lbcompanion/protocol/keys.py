"""Public keys of external crawlers: Ed25519 (RFC 8032) in PEM."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key


def read_public_key(pem: bytes) -> Ed25519PublicKey:
    """Read an external crawler's public key.

    :raises ValueError: if this is not an Ed25519 public key in PEM.
    """
    try:
        key = load_pem_public_key(pem)
    except Exception as error:  # ValueError, UnsupportedAlgorithm, or an error of OpenSSL
        raise ValueError("not a public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an ed25519 key")
    return key
