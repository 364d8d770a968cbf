from __future__ import annotations

import pytest

from lbcompanion.crawler.access.passwords import (
    DEFAULT_COST,
    MAX_MEMORY_BYTES,
    BadHash,
    Cost,
    PasswordHash,
    new_token,
    token_hash,
)

CHEAP = Cost(2, 1, 1)


def test_a_password() -> None:
    hashed = PasswordHash.of("päss wörd", CHEAP)
    assert hashed.matches("päss wörd")
    assert not hashed.matches("pass word")
    assert not hashed.matches("")
    assert PasswordHash.parse(str(hashed)) == hashed
    assert PasswordHash.of("päss wörd", CHEAP) != hashed
    assert hashed.matches("\ud800") is False


def test_an_unknown_hash() -> None:
    assert not PasswordHash.unknown(CHEAP).matches("")
    assert PasswordHash.unknown(DEFAULT_COST).cost == DEFAULT_COST


def test_the_cost_is_bounded() -> None:
    assert DEFAULT_COST.memory_bytes < MAX_MEMORY_BYTES
    key = str(PasswordHash.of("x", CHEAP)).split("$", 4)[4]
    for parameters in (
        *("1048576$8$1", "65536$8$1", "0$8$1", "3$8$1", "1$8$1", "16384$0$1", "16384$8$0", "16384$8$17", "2$999$999"),
        *("-2$8$1", "2$8", "a$8$1", "16384$8$1$x"),
    ):
        with pytest.raises(BadHash):
            PasswordHash.parse(f"scrypt${parameters}${key}")


@pytest.mark.parametrize("written", ["", "scrypt", "bcrypt$2$1$1$AAAA$AAAA", "scrypt$2$1$1$AAAA$AAAA", "x" * 10_000])
def test_what_is_no_hash(written: str) -> None:
    with pytest.raises(BadHash):
        PasswordHash.parse(written)


def test_a_hash_is_not_shown_by_errors() -> None:
    with pytest.raises(BadHash) as refused:
        PasswordHash.parse("my password")
    assert "my password" not in str(refused.value)


def test_tokens() -> None:
    assert new_token() != new_token()
    assert len(new_token()) == 47
    assert token_hash("x") == "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
