"""Tokens and proofs."""

import hmac
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.errors import TokenError
from lbcompanion.protocol.tokens import (
    Tokens,
    abbreviate,
    digest_of,
    digests_of,
    is_valid_proof,
    proof,
    repr_digest,
)
from lbcompanion.testing.strategies import SECRET, node_names, tokens

FARM = Tokens(SECRET)


def counting() -> Tokens:
    drawn: list[int] = []

    def entropy(count: int) -> bytes:
        drawn.append(count)
        return b"".join(
            number.to_bytes(16, "big") for number in range(len(drawn) << 20, (len(drawn) << 20) + count // 16)
        )

    return Tokens(SECRET, "n1", entropy)


@given(node_names(), st.binary(min_size=16, max_size=16))
def test_the_owner_comes_back(owner: str, random: bytes) -> None:
    token = Tokens(SECRET, owner, lambda count: (random * count)[:count]).mint()
    assert FARM.owner_of(token) == owner
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)
    assert len(token) <= 63


@given(tokens(), st.data())
def test_one_altered_byte_voids_it(token: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters().filter(lambda char: char != token[at]))
    with pytest.raises(TokenError):
        FARM.owner_of(token[:at] + other + token[at + 1 :])


@given(tokens(), st.data())
def test_one_byte_more_or_less_voids_it(token: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(token) - 1))
    with pytest.raises(TokenError):
        FARM.owner_of(token[:at] + token[at + 1 :])
    with pytest.raises(TokenError):
        FARM.owner_of(token[:at] + "_x"[token[at] == "_"] + token[at:])


@given(st.text(max_size=80))
def test_no_other_text_is_a_token(text: str) -> None:
    with pytest.raises(TokenError):
        FARM.owner_of(text)


def test_half_a_character_is_a_refusal_too() -> None:
    token = counting().mint()
    with pytest.raises(TokenError):
        FARM.owner_of("1\ud800" + token[2:])


@given(tokens())
def test_another_farm_does_not_take_it(token: str) -> None:
    with pytest.raises(TokenError):
        Tokens(b"another farm's secret").owner_of(token)


def test_no_two_are_alike() -> None:
    mint = counting().mint
    minted = {mint() for _ in range(1000)}
    assert len(minted) == 1000
    assert {FARM.owner_of(token) for token in minted} == {"n1"}


def test_who_has_no_entropy_mints_none() -> None:
    for side in (FARM, Tokens(SECRET, "n1"), Tokens(SECRET, "", lambda count: b"x" * count)):
        with pytest.raises(TokenError):
            side.mint()


@given(tokens())
def test_a_log_shows_too_little_to_use(token: str) -> None:
    assert token not in abbreviate(token)
    with pytest.raises(TokenError):
        FARM.owner_of(abbreviate(token))


def test_a_proof_is_what_the_contract_says() -> None:
    digest = repr_digest(digest_of(b"page"))
    said = b"lbc-proof-1\nn1\n1abc\nnonce\n" + digest.encode()
    assert (
        proof(SECRET, "n1", "1abc", "nonce", digest) == urlsafe_b64encode(hmac.digest(SECRET, said, "sha256")).decode()
    )
    assert digest == "sha-256=:jjbo+74GlqsAR6JvaDvWSI0S53aa+NVQpqp3H7lj2Q8=:" or digest.startswith("sha-256=:")


parts = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=12)


@given(node_names(), parts, parts, parts)
def test_a_proof_holds_for_its_own_parts_alone(node: str, token: str, nonce: str, digest: str) -> None:
    given_proof = proof(SECRET, node, token, nonce, digest)
    assert is_valid_proof(given_proof, SECRET, node, token, nonce, digest)
    assert is_valid_proof(given_proof.rstrip("="), SECRET, node, token, nonce, digest)
    assert not is_valid_proof(given_proof, b"another", node, token, nonce, digest)
    assert not is_valid_proof(given_proof, SECRET, node + "x", token, nonce, digest)
    assert not is_valid_proof(given_proof, SECRET, node, token + "x", nonce, digest)
    assert not is_valid_proof(given_proof, SECRET, node, token, nonce + "x", digest)
    assert not is_valid_proof(given_proof, SECRET, node, token, nonce, digest + "x")
    assert not is_valid_proof("", SECRET, node, token, nonce, digest)
    assert not is_valid_proof("ü" + given_proof, SECRET, node, token, nonce, digest)


def test_a_proof_of_a_page_with_its_head_has_another_first_part() -> None:
    said = b"lbc-proof-2\nn1\n1abc\nnonce\nd\n812"
    written = proof(SECRET, "n1", "1abc", "nonce", "d", "812")
    assert written == urlsafe_b64encode(hmac.digest(SECRET, said, "sha256")).decode()
    assert is_valid_proof(written, SECRET, "n1", "1abc", "nonce", "d", "812")
    for page_head in ("", "81", "8122"):
        assert not is_valid_proof(written, SECRET, "n1", "1abc", "nonce", "d", page_head)
    assert proof(SECRET, "n1", "1abc", "nonce", "d\n812") != written


@given(st.binary(), st.binary())
def test_two_digests_in_one_pass(body: bytes, rest: bytes) -> None:
    assert digests_of(body, rest) == (digest_of(body), digest_of(body + rest))
