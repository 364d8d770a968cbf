from __future__ import annotations

import pytest

from lbcompanion.http1.admin_hosts import refusal
from tests.support.host_spellings import ALLOWED, REFUSED, Case


@pytest.mark.parametrize("case", [*ALLOWED, *REFUSED], ids=str)
def test_who_is_answered(case: Case) -> None:
    def lines(name: bytes) -> list[bytes]:
        split = [line.partition(b":") for line in case.lines]
        return [value.strip(b" ") for key, _, value in split if key.lower() == name]

    refused = refusal(lines, {"crawler.internal"}, http_1_0=case.version == b"1.0")
    assert (200 if refused is None else refused[0]) == case.status
