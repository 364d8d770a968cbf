"""A failing input made small: pieces are left out as long as it fails in the same way."""

from __future__ import annotations

import time

from fuzz import trial
from fuzz.target import Target


def shrink(target: Target, data: bytes, kind: str, seconds: float) -> bytes:
    """The smallest input found in that time that fails as ``data`` does.

    :param kind: of the failure, see :class:`fuzz.trial.Failure`.
    """
    deadline = time.monotonic() + seconds

    def fails(candidate: bytes) -> bool:
        found = trial.run_in_child(target, candidate)
        return found is not None and found.kind == kind

    head, body = data[: target.choices], data[target.choices :]
    for at in range(len(head)):
        simpler = head[:at] + b"\0" + head[at + 1 :]
        if head[at] and time.monotonic() < deadline and fails(simpler + body):
            head = simpler
    before = None
    while before != body:
        before = body
        size = len(body)
        while size:
            at = 0
            while at < len(body):
                if time.monotonic() > deadline:
                    return head + body
                without = body[:at] + body[at + size :]
                if fails(head + without):
                    body = without
                else:
                    at += size
            size //= 2
    return head + body
