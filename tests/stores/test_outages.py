"""Servers that are not there, go away, come back, or say nothing."""

from __future__ import annotations

import signal

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from lbcompanion.errors import StoreError, StoreUnreachable
from lbcompanion.model import Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores import engines
from lbcompanion.stores.sql import SqlStore
from lbcompanion.stores.threads import SingleThread
from lbcompanion.stores.timeouts import TimeoutStore
from lbcompanion.testing.stores import ManualWallClock, make_page
from tests.support.open_store import at_once, result_of
from tests.support.served_stores import open_at
from tests.support.store_servers import PASSWORD, USER, Mariadb, Postgresql, Redis, Server, running

pytestmark = pytest.mark.programs

KINDS = (Redis, Postgresql, Mariadb)
DURABLE = (Postgresql, Mariadb)


@pytest.fixture(params=KINDS, ids=[kind.program for kind in KINDS])
def server(request: pytest.FixtureRequest) -> Server:
    return running(request.param)


def test_through_a_restart(server: Server) -> None:
    store = open_at(server, StoreTable(), ManualWallClock())
    result_of(store.put(make_page("a")))
    server.stop()
    for _ in range(2):
        with pytest.raises(StoreUnreachable) as caught:
            result_of(store.put(make_page("b")))
        assert PASSWORD not in str(caught.value)
    server.start()
    assert isinstance(result_of(store.peek("a")), Page) is isinstance(server, DURABLE)
    # So quick that the store never saw it away.
    server.stop()
    server.start()
    result_of(store.put(make_page("c")))
    assert result_of(store.peek("c")) == make_page("c")
    result_of(store.close())


def test_not_there_at_the_start(server: Server) -> None:
    server.stop()
    store = open_at(server, StoreTable(), ManualWallClock())
    with pytest.raises(StoreUnreachable, match="refused"):
        result_of(store.sweep())
    server.start()
    server.clear()
    assert result_of(store.sweep()) == 0
    result_of(store.close())


def test_a_wrong_password(server: Server) -> None:
    good = server.url
    server_url = good.replace("p%40ss%2Fword", "hunter2")
    assert server_url != good

    class Mistaken:
        url = server_url

    store = open_at(Mistaken(), StoreTable(), ManualWallClock())  # type: ignore[arg-type]
    with pytest.raises(StoreUnreachable, match=r"(?i)password|access denied") as caught:
        result_of(store.put(make_page("a")))
    assert "hunter2" not in str(caught.value)
    result_of(store.close())


def test_rights_that_are_missing_are_named() -> None:
    server = running(Postgresql)
    assert isinstance(server, Postgresql)
    with server.client() as client:
        client.execute(f"CREATE ROLE poor LOGIN PASSWORD '{PASSWORD}'")

    class Poor:
        url = server.url.replace(f"//{USER}:", "//poor:")

    store = open_at(Poor(), StoreTable(), ManualWallClock())  # type: ignore[arg-type]
    with pytest.raises(StoreError, match="permission denied for schema public"):
        result_of(store.sweep())
    result_of(store.close())


def test_postgresql_that_is_stopped_is_given_up() -> None:
    server = running(Postgresql)
    store = SqlStore(engines.postgresql(server.url, timeout_seconds=0.3), StoreTable(), ManualWallClock(), at_once)
    store.backend.backoff_seconds = 0
    result_of(store.put(make_page("a")))
    server.freeze(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnreachable):
            result_of(store.peek("a"))
    finally:
        server.freeze(signal.SIGCONT)
    assert result_of(store.peek("a")) == make_page("a")
    result_of(store.close())


class _Silence(TestCase):
    kind: type[Server]

    async def test_nobody_waits_for_one_that_says_nothing(self) -> None:
        server = running(self.kind)
        thread = SingleThread(reactor)
        self.addCleanup(thread.stop)
        inner = open_at(server, StoreTable(), ManualWallClock(), thread)
        store = TimeoutStore(inner, reactor, 0.2)  # type: ignore[arg-type]
        await TimeoutStore(inner, reactor, 30).put(make_page("a"))  # type: ignore[arg-type]
        server.freeze(signal.SIGSTOP)
        self.addCleanup(server.freeze, signal.SIGCONT)
        asked: list[Deferred[object]] = [store.peek("a"), store.put(make_page("b")), store.sweep()]
        failures = await gatherResults([one.addErrback(lambda failure: failure.value) for one in asked])
        assert [type(one) for one in failures] == [StoreUnreachable] * 3
        server.freeze(signal.SIGCONT)
        patient = TimeoutStore(inner, reactor, 30)  # type: ignore[arg-type]
        assert await patient.peek("a") == make_page("a")
        # It was only late.
        assert await patient.peek("b") == make_page("b")
        await patient.close()


class TestSilentRedis(_Silence):
    kind = Redis


class TestSilentPostgresql(_Silence):
    kind = Postgresql


class TestSilentMariadb(_Silence):
    kind = Mariadb


del _Silence
