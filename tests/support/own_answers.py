"""The fields of all the companion's own answers, and a store that fails with an unexpected error."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode, urlsafe_b64encode
from typing import Any

from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import InMemoryNode, VisitorResponse

GUARDS = {
    b"cache-control": b"no-store",
    b"x-robots-tag": b"noindex, nofollow",
    b"content-security-policy": b"sandbox",
    b"x-content-type-options": b"nosniff",
}


def guarded(answer: VisitorResponse, cache_control: bytes = b"no-store") -> bool:
    expected = GUARDS | {b"cache-control": cache_control}
    return all(answer.all(name) == [value] for name, value in expected.items())


class FailingTakeStore(MemoryStore):
    """Raises what no store should."""

    def take(self, token: str) -> Any:
        raise ZeroDivisionError

    peek = drop = take


def proved(*parts: str) -> bytes:
    said = "\n".join(["lbc-proof-1", *parts]).encode()
    return urlsafe_b64encode(hmac.digest(SECRET, said, hashlib.sha256))


def digest(body: bytes) -> str:
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"


def with_page(**more: Any) -> tuple[InMemoryNode, str]:
    rig = InMemoryNode(**more)
    rig.get(b"/shop?q=1", b"Cookie: SRV=n1")
    return rig, rig.page.token


def refused(rig: InMemoryNode, answer: VisitorResponse) -> None:
    assert answer.status == 403
    assert answer.json == {"type": "about:blank", "status": 403}
    assert guarded(answer)
    assert not any(name.startswith(b"lbc") for name, _ in answer.fields)
