"""Requests to endpoints of the companion's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.in_memory_node import Rig
from tests.support.own_answers import guarded


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        (b"/_lbc/page/x", [b"POST", b"PATCH", b"OPTIONS"], b"GET, HEAD, DELETE, PUT"),
        (b"/_lbc/whoami", [b"POST", b"DELETE"], b"GET, HEAD"),
        (b"/_lbc/fetch-from.js", [b"POST"], b"GET, HEAD"),
        (b"/_lbc/notice", [b"GET", b"PUT", b"HEAD"], b"POST"),
        (b"/_lbc/debug", [b"POST"], b"GET"),
    ],
)
def test_other_methods_get_405(path: bytes, methods: list[bytes], allowed: bytes) -> None:
    for method in methods:
        answer = Rig().get(path, method=method)
        assert (answer.status, answer.get(b"allow")) == (405, allowed)
        assert guarded(answer)


def test_an_endpoint_that_fails_says_so_and_no_more() -> None:
    rig = Rig()

    class Broken:
        def answer(self, request: object) -> Any:
            raise ZeroDivisionError("a secret")

    rig.hub.local = Broken()
    answer = rig.get(b"/_lbc/whoami")
    assert (answer.status, answer.body) == (500, b"internal error\n")
    assert not any("a secret" in line for line in rig.logged)
