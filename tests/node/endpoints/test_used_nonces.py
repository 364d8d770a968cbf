"""A signed request that counts once is refused when it comes again: in one process, and in any process of the node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lbcompanion.node.endpoints import used_nonces
from lbcompanion.node.endpoints.used_nonces import NonceStore, SharedNonces, UsedNonces
from lbcompanion.protocol.signatures import MAX_SKEW_SECONDS

NOW = 1_795_468_200.0
VALID = 2 * MAX_SKEW_SECONDS


@pytest.fixture(name="new_store", params=["one process", "several processes"])
def _new_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], NonceStore]:
    return UsedNonces if request.param == "one process" else lambda: SharedNonces(tmp_path / "nonces")


def test_a_nonce_is_used_once(new_store: Callable[[], NonceStore]) -> None:
    store = new_store()
    assert store.use("farm", b"a", NOW) == ""
    assert store.use("farm", b"a", NOW + VALID - 1) == "the nonce was used before"
    assert store.use("farm", b"b", NOW) == store.use("other", b"a", NOW) == ""


def test_a_nonce_is_forgotten_with_its_signature(new_store: Callable[[], NonceStore]) -> None:
    store = new_store()
    store.use("farm", b"a", NOW)
    assert store.use("farm", b"a", NOW + VALID) == ""


def test_there_is_a_limit(new_store: Callable[[], NonceStore], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_nonces, "_MAX_NONCES", 3)
    store = new_store()
    assert [store.use("farm", b"%d" % number, NOW) for number in range(3)] == [""] * 3
    assert store.use("farm", b"3", NOW) == "too many nonces were used"
    assert store.use("farm", b"3", NOW + VALID) == ""


def test_processes_share_them(tmp_path: Path) -> None:
    first, second = SharedNonces(tmp_path / "nonces"), SharedNonces(tmp_path / "nonces")
    assert first.use("farm", b"../a\0", NOW) == ""
    assert second.use("farm", b"../a\0", NOW) == "the nonce was used before"
    assert (tmp_path / "nonces").stat().st_mode & 0o777 == 0o700
    assert len(list((tmp_path / "nonces").iterdir())) == 1


def test_what_cannot_be_remembered_is_refused(tmp_path: Path) -> None:
    (tmp_path / "nonces").write_bytes(b"")
    assert "cannot be remembered" in SharedNonces(tmp_path / "nonces").use("farm", b"a", NOW)
