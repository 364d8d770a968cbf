"""The farm's secret while it is replaced: any two programs that are one step apart understand each other."""

from __future__ import annotations

import os
from itertools import product

import pytest

from lbcompanion.errors import SignatureRefused, TokenError
from lbcompanion.protocol.secrets import FarmSecret, accepted_secrets
from lbcompanion.protocol.signatures import FARM_KEY_ID, SignedRequest, Signer, Verifier
from lbcompanion.protocol.tokens import Tokens, is_valid_proof, proof

OLD, NEW, FOREIGN = b"the secret until today", b"the secret from today on", b"another farm's secret"
#: What a program accepts, step by step; the first secret signs.
STEPS = (FarmSecret(OLD), FarmSecret(OLD, [NEW]), FarmSecret(NEW, [OLD]), FarmSecret(NEW))
NEIGHBOURS = [pair for pair in product(range(4), repeat=2) if abs(pair[0] - pair[1]) <= 1]


def understands(receiver: bytes, sender: bytes) -> set[str]:
    """Which of a sender's tokens, proofs and signatures (with and without a body) a receiver accepts."""
    understood = set()
    token = Tokens(sender, "n1", os.urandom).mint()
    try:
        assert Tokens(receiver).owner_of(token) == "n1"
        understood.add("token")
    except TokenError:
        pass
    if is_valid_proof(proof(sender, "n1", token, "nonce", "digest"), receiver, "n1", token, "nonce", "digest"):
        understood.add("proof")
    for name, body in (("signature", b""), ("signature with a body", b"body")):
        fields = Signer(sender).sign("GET", "http://a.example/path", "nonce", 1e9, body or None)
        request = SignedRequest(
            "GET", "a.example", "/path", [(key.lower().encode(), value.encode()) for key, value in fields], body
        )
        try:
            assert Verifier(receiver).verify(request, 1e9) == FARM_KEY_ID
            understood.add(name)
        except SignatureRefused:
            pass
    return understood


ALL = {"token", "proof", "signature", "signature with a body"}


@pytest.mark.parametrize(("receiver", "sender"), NEIGHBOURS)
def test_programs_one_step_apart_understand_each_other(receiver: int, sender: int) -> None:
    assert understands(STEPS[receiver], STEPS[sender]) == ALL


@pytest.mark.parametrize("receiver", STEPS)
def test_no_step_accepts_another_secret(receiver: FarmSecret) -> None:
    assert understands(receiver, FOREIGN) == set()


def test_a_secret_that_is_no_longer_accepted() -> None:
    assert understands(STEPS[3], OLD) == set()
    assert understands(STEPS[0], NEW) == set()


def test_a_changed_body_is_named_whichever_secret_signed() -> None:
    fields = Signer(OLD).sign("POST", "http://a.example/path", "nonce", 1e9, b"body")
    lower = [(key.lower().encode(), value.encode()) for key, value in fields]
    for secret in STEPS[1:3]:
        with pytest.raises(SignatureRefused, match="content-digest is not that of the body"):
            Verifier(secret).verify(SignedRequest("POST", "a.example", "/path", lower, b"other"), 1e9)


def test_plain_bytes_are_accepted_alone() -> None:
    assert accepted_secrets(OLD) == (OLD,)
    assert accepted_secrets(STEPS[1]) == (OLD, NEW)


def test_a_secret_shows_nothing_of_itself() -> None:
    assert repr(STEPS[1]) == "FarmSecret(...)"
    assert f"{STEPS[1]!r} {STEPS[1]}" == "FarmSecret(...) FarmSecret(...)"
