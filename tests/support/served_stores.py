"""Stores at real servers, for which the extras ``redis``, ``postgres`` and ``mysql`` are needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.trial.unittest import TestCase

from lbcompanion.settings import StoreTable
from lbcompanion.stores.registry import open_store
from lbcompanion.stores.remote import BatchedStore
from lbcompanion.testing.stores import OpenForTest
from tests.support.open_store import at_once
from tests.support.store_machine import run_store_machine
from tests.support.store_servers import Server, at_server, running


def served_by(kind: type[Server]) -> OpenForTest:
    """Opens stores at a real server of this kind, which has nothing in it then."""

    def open_served(case: TestCase, settings: StoreTable, clock: Callable[[], float]) -> Any:
        return open_at(running(kind), settings, clock)

    return open_served


def open_at(
    server: Server,
    settings: StoreTable,
    clock: Callable[[], float],
    defer_to_thread: object = at_once,
    backoff_seconds: float = 0,
) -> BatchedStore:
    """One node's store at a server."""
    opened = open_store(evolve(settings, url=server.url), clock, defer_to_thread)  # type: ignore[arg-type]
    assert isinstance(opened, BatchedStore)
    opened.backend.backoff_seconds = backoff_seconds
    return opened


def run_machine_at(kind: type[Server], examples: int) -> None:
    """The state machine against a real server, emptied for each run."""
    runs: set[Callable[[], float]] = set()

    def open_run(table: StoreTable, clock: Callable[[], float]) -> Any:
        # Each run has a clock of its own; within one, the store is opened again and again.
        server = at_server(kind) if clock in runs else running(kind)
        runs.add(clock)
        return open_at(server, table, clock)

    run_store_machine(open_run, durable=True, examples=examples)
