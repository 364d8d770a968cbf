from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbcompanion.protocol.keys import read_public_key


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_an_ed25519_key_is_read() -> None:
    written = pem(Ed25519PrivateKey.generate())
    assert read_public_key(written).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) == written


@pytest.mark.parametrize("text", [b"", b"no key", pem(ec.generate_private_key(ec.SECP256R1()))])
def test_other_texts_are_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a"):
        read_public_key(text)
