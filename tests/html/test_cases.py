"""Every rule on the way of a page, as data: request, answer, settings; what the visitor gets, and what is kept."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import attrs
import pytest
from twisted.internet.defer import succeed

from lbcompanion.html.redaction import Masks
from lbcompanion.html.snippets import integrity_of
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.capture.capture_rules import CaptureRules
from lbcompanion.node.capture.page_copy import CaptureLimits
from lbcompanion.node.capture.page_policy import PagePolicy, Script
from lbcompanion.node.capture.plan import RequestPlan
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import InjectTable, NodeSettings, NodeTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from tests.html.cases import charsets, copies, left_alone, policies, position, recording, snippets
from tests.html.cases.case import NONE, Case
from tests.support.tags import default_tag

SECRET = b"a secret of the tests"
ORIGIN = "https://www.example.com"
TOKEN = Tokens(SECRET, "n1", bytes).mint()
CASES = [
    (f"{room.__name__.rpartition('.')[2]}: {case.name}", case)
    for room in (left_alone, charsets, policies, copies, recording, snippets)
    for case in room.CASES
]


def tag(nonce: str | None = None, xhtml: bool = False) -> bytes:
    url = f"{ORIGIN}/_lbc/fetch-from.js?v=1"
    return default_tag(TOKEN, f"{ORIGIN}/_lbc/page/{TOKEN}", url, nonce, xhtml, integrity_of(b""))


FILLED = {"{T}": tag(), "{N}": tag("abc"), "{X}": tag(xhtml=True), "{token}": TOKEN.encode(), "{node}": b"n1",
          "{prefix}": b"/_lbc", "{nonce}": b""}  # fmt: skip


def filled(text: str | bytes, with_tag: bool) -> bytes:
    """A case's text as bytes; in UTF-16 pages what is filled in is UTF-16 too."""
    data = text.encode() if isinstance(text, str) else text
    for place, value in FILLED.items():
        put = value if with_tag else b""
        for code in ("ascii", "utf-16-le", "utf-16-be"):
            data = data.replace(place.encode(code), put.decode().encode(code))
    return data


def fields_of(lines: tuple[str, ...]) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode().lower(), value.strip().encode()) for name, _, value in (line.partition(":") for line in lines)
    ]


class Rig:
    """The part of a companion that a page passes, sockets left out."""

    def __init__(self, changed: Any) -> None:
        node = NodeTable("n1", ("tcp:1",), "tcp:127.0.0.1:1", None, SECRET, public_origin=ORIGIN)  # type: ignore[arg-type]
        settings = NodeSettings(node, inject=InjectTable(address="prefix"))
        for table, values in changed.items():
            settings = attrs.evolve(settings, **{table: attrs.evolve(getattr(settings, table), **values)})
        self.counters = Counters()
        self.store = MemoryStore(StoreTable(), lambda: 0.0)
        tokens = Tokens(SECRET, "n1", bytes)
        kept = Copies(
            node="n1",
            secret=SECRET,
            store=self.store,
            tokens=tokens,
            now=lambda: 0.0,
            counters=self.counters,
            log=lambda event, detail: None,
            ask_peers=lambda method, owner, ask: succeed(None),
        )
        capture = settings.capture
        masks = Masks(capture.mask) if capture.mask else None
        capture_limits = CaptureLimits(
            capture.max_page_bytes, 1 << 27, 100, capture.exclude_blocks, masks, lambda page, cookie: None
        )
        self.policy = PagePolicy(
            settings=settings,
            copies=kept,
            counters=self.counters,
            capture_limits=capture_limits,
            capture_rules=CaptureRules(settings.capture),
            script=Script(b"", "1"),
            now=lambda: 0.0,
        )

    def copy(self) -> bytes | None:
        found: list[object] = []
        self.store.peek(TOKEN).addCallback(found.append)
        return found[0].body if isinstance(found[0], Page) else None


def run(case: Case, page: bytes, edges: list[int]) -> tuple[bytes, list[tuple[bytes, bytes]], Rig]:
    rig = Rig(case.settings)
    asked = [(b"host", b"www.example.com"), *fields_of(case.asked)]
    head = RequestHead.from_fields(case.method.encode(), case.target.encode(), 11, asked)
    answered = fields_of(case.answered)
    plan = RequestPlan(rig.policy, head, "127.0.0.1", False, "https")
    assert b"lbc-capture" not in plan.request_lines().lower()
    plan_response = plan.plan_response(ResponseHead.from_fields(11, case.status, b"", answered))
    out = page
    if plan_response.pipeline is not None:
        places = [0, *edges, len(page)]
        if edges:
            out = b"".join(plan_response.pipeline.feed(page[a:b]) for a, b in pairwise(places))
            out += plan_response.pipeline.finish()
        else:
            out = b"".join(plan_response.pipeline.transform_whole(page))
        plan_response.pipeline.written()
    lines = [line.partition(b": ") for line in plan_response.lines.splitlines()]
    return out, [(name, value) for name, _, value in lines], rig


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_case(name: str, case: Case) -> None:
    source = case.page if case.page is not None else case.out
    assert source is not None
    page = filled(source, False)
    expected = page if case.out is None else filled(case.out, True)
    copy = None if case.copy == NONE else page if case.copy is None else filled(case.copy, False)
    chance = Random(name)
    for edges in ([], sorted(chance.sample(range(len(page) + 1), min(9, len(page)))), list(range(1, len(page)))):
        out, fields, rig = run(case, page, edges)
        assert out == expected
        assert rig.copy() == copy
        told = {*rig.counters.not_captured} if copy is None else {*rig.counters.not_injected}
        assert told == ({case.why} if case.why else set())
        assert not rig.counters.failed_open or "could not be taken out" in case.why
        given = [(name.lower(), value) for name, value in fields]
        for line in case.told:
            wanted, _, value = line.partition(":")
            found = [one.decode() for key, one in given if key == wanted.lower().encode()]
            assert found == ([value.strip().replace("{token}", TOKEN)] if value else []), wanted


def test_there_are_enough() -> None:
    names = [name for name, _ in CASES]
    assert len(set(names)) == len(names)
    assert len(names) >= 150
    assert len(position.PAGES) >= 110
