"""Microseconds of the companion's parts on the way of one page: ``python -m bench.micro``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from timeit import Timer
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from twisted.internet.defer import succeed

from bench.workload import HOST, PAGE, answer, request
from lbcompanion.html.inject import Injector
from lbcompanion.html.redaction import Masks, redact
from lbcompanion.html.snippets import default_tag_parts
from lbcompanion.http1.codings import Decoder, Encoder
from lbcompanion.http1.heads import head_end, read_request_head, read_response_head
from lbcompanion.model import Page
from lbcompanion.node.capture.capture_rules import CaptureRules
from lbcompanion.node.capture.page_copy import CaptureLimits
from lbcompanion.node.capture.page_policy import PagePolicy, Script
from lbcompanion.node.capture.plan import RequestPlan
from lbcompanion.node.capture.usual_pages import UsualPages
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.context import ProxyContext
from lbcompanion.node.proxy.upstream import UpstreamConnection, UpstreamPool
from lbcompanion.node.proxy.usual_exchange import UsualExchange
from lbcompanion.node.proxy.visitor import VisitorConnection
from lbcompanion.protocol.tokens import Tokens, digest_of
from lbcompanion.settings import CaptureTable, LimitsTable, NodeSettings, NodeTable, StoreTable
from lbcompanion.stores.memory import MemoryStore

_REPEATS = 15
_SAMPLE_SECONDS = 0.02
_SECRET = b"a secret for figures only"


def _policy() -> tuple[PagePolicy, MemoryStore]:
    settings = NodeSettings(NodeTable("n1", ("tcp:8080",), "tcp:127.0.0.1:8000", Path("none"), _SECRET))
    counters = Counters()
    store = MemoryStore(StoreTable(max_pages=1000), time.time)
    copies = Copies(
        node="n1",
        secret=_SECRET,
        store=store,
        tokens=Tokens(_SECRET, "n1", os.urandom),
        now=time.time,
        counters=counters,
        log=lambda event, detail: None,
        ask_peers=lambda method, owner, ask: succeed(None),
    )
    capture_limits = CaptureLimits(4194304, 134217728, 100, True, Masks(CaptureTable().mask), lambda page, cookie: None)
    return PagePolicy(
        settings=settings,
        copies=copies,
        counters=counters,
        capture_limits=capture_limits,
        capture_rules=CaptureRules(settings.capture),
        script=Script(b"", "0a1b2c3d4e5f"),
        now=time.time,
    ), store


class _NullTransport:
    """A link without a socket: what is written stays here."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.write = self.written.append

    def writelines(self, list_of_data: Sequence[bytes | memoryview]) -> None:
        self.written.append(b"".join(list_of_data))

    def close(self) -> None: ...

    def write_eof(self) -> None: ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 50000) if name == "peername" else default


def _exchange(policy: PagePolicy, request_bytes: bytes, response_bytes: bytes, *, usual: bool) -> Callable[[], object]:
    """All the companion does for a page but sockets and loop: from the request's bytes to the copy in the store.

    :param usual: on the usual path, if its compiled part was built.
    """
    upstream_wire, visitor_wire = _NullTransport(), _NullTransport()
    dialled: list[UpstreamConnection] = []
    context = ProxyContext(
        # All requests of the measurement go over one connection.
        limits=LimitsTable(requests_per_connection=10**9),
        prefix=b"/_lbc",
        trusts=lambda peer: False,
        upstream_pool=UpstreamPool(
            dial=dialled.append,
            limits=LimitsTable(),
            monotonic=time.monotonic,
            call_later=lambda seconds, call: None,
            counters=policy.counters,
        ),
        internal_handler=None,  # type: ignore[arg-type]
        plan=partial(RequestPlan, policy),
        counters=policy.counters,
        monotonic=time.monotonic,
    )
    if usual and UsualPages.is_for(policy):
        context.new_usual_exchange = partial(UsualExchange, UsualPages(policy, context))
    visitor = VisitorConnection(context)
    visitor.connection_made(visitor_wire)
    visitor.data_received(request_bytes)
    dialled[0].connection_made(upstream_wire)
    dialled[0].data_received(response_bytes)

    def run() -> object:
        upstream_wire.written.clear()
        visitor_wire.written.clear()
        visitor.data_received(request_bytes)
        dialled[0].data_received(response_bytes)
        return visitor_wire.written[0]

    sent = b"".join(visitor_wire.written)
    # The default tag is at the end of the head.
    assert b"</script></head>" in sent or b"Content-Encoding" in sent, sent[:2000]
    return run


def _tag(token: str) -> bytes:
    parts = default_tag_parts(f"http://{HOST}/_lbc/page/", "/_lbc/fetch-from.js?v=0a1b2c3d4e5f", None, xhtml=False)
    return token.encode().join(parts)


def _parts() -> dict[str, Callable[[], object]]:
    policy, store = _policy()
    request_bytes, response_bytes, coded = request("identity"), answer("identity"), answer("gzip")
    body_gzip = coded[head_end(coded) :]
    answered_head = response_bytes[: head_end(response_bytes)]
    request_head = read_request_head(request_bytes)
    tokens = Tokens(_SECRET, "n1", os.urandom)
    token = tokens.mint()
    script_tag = _tag(token)
    masks = Masks(CaptureTable().mask)
    login = PAGE.replace(b"<main>", b"<main><form><input type='password' name='p' value='x'></form>")

    def inject() -> bytes:
        injector = Injector(
            script_tag, top_at_head_end=True, charset_known=True, on_policies=lambda csp_headers: (script_tag, b"")
        )
        return injector.feed(PAGE) + injector.finish()

    def plan() -> object:
        return RequestPlan(policy, request_head, "127.0.0.1", trusted=True, scheme="http").request_lines()

    def put() -> object:
        return store.put(Page(tokens.mint(), f"http://{HOST}/", "GET", 200, "text/html", time.time(), PAGE, b"\0" * 32))

    def recode() -> bytes:
        coder = Encoder(b"gzip")
        pages = b"".join(Decoder(b"gzip").decode(body_gzip))
        return coder.feed(pages) + coder.finish()

    return {
        "request head read": lambda: read_request_head(request_bytes),
        "response head read": lambda: read_response_head(answered_head),
        "token minted": tokens.mint,
        "token checked": lambda: tokens.owner_of(token),
        "policy: plan and fields for the application": plan,
        "tag made": lambda: policy.script_tag(
            token, f"http://{HOST}", "./-/_lbc/fetch-from?v=0a1b2c3d4e5f", None, xhtml=False
        ),
        "injector, tag at the head's end, 10 KB page": inject,
        "copy, default masks, nothing to mask": lambda: redact(PAGE, exclude_blocks=True, masks=masks, charset="utf-8"),
        "copy, default masks, a password field": lambda: redact(
            login, exclude_blocks=True, masks=masks, charset="utf-8"
        ),
        "digest": lambda: digest_of(PAGE),
        "memory store: token, page, put": put,
        "gzip undone and done again": recode,
        "a whole page, sockets left out": _exchange(policy, request_bytes, response_bytes, usual=False),
        "a whole page, gzip, sockets left out": _exchange(policy, request("gzip"), coded, usual=False),
        "a whole page on the usual path": _exchange(policy, request_bytes, response_bytes, usual=True),
        "a whole page on the usual path, gzip": _exchange(policy, request("gzip"), coded, usual=True),
    }


def measure() -> dict[str, dict[str, float]]:
    """Time every part: medians of repeats, with the least; CPU time, so that others disturb less."""
    results = {}
    for name, part in _parts().items():
        timer = Timer(part, timer=time.process_time)
        number = 1
        while (took := timer.timeit(number)) < _SAMPLE_SECONDS / 4:
            number *= 2
        number = max(1, int(number * _SAMPLE_SECONDS / took))
        each = [1e6 * took / number for took in timer.repeat(_REPEATS, number)]
        results[name] = {"median": round(median(each), 2), "min": round(min(each), 2)}
    return results


def show(console: Console, results: dict[str, dict[str, float]]) -> None:
    """Print the parts."""
    table = Table(title="Parts of the companion, CPU us", box=box.SIMPLE, title_justify="left")
    for heading in ("", "median", "least"):
        table.add_column(heading, justify="left" if not heading else "right")
    for name, one in results.items():
        table.add_row(name, f"{one['median']:.2f}", f"{one['min']:.2f}")
    console.print(table)


if __name__ == "__main__":
    show(Console(), measure())
