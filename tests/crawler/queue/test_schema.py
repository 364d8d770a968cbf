"""Databases of earlier versions are gone on with."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from attrs import evolve

from lbcompanion.crawler.queue.backlog import (
    Backlog,
    open_engine,
)
from lbcompanion.model import Loss, RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source
from tests.support.arrivals import arrival


def test_a_table_of_an_earlier_version_is_gone_on_with() -> None:
    engine = open_engine("sqlite://")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE routes (site VARCHAR(255), node VARCHAR(64), cookies TEXT NOT NULL, dialect VARCHAR(64) "
            "NOT NULL, state VARCHAR(16) NOT NULL, learnt_at FLOAT NOT NULL, proven_at FLOAT, PRIMARY KEY (site, node))"
        )
        connection.exec_driver_sql("INSERT INTO routes VALUES ('main', 'n1', '[[\"SRV\", \"x\"]]', '', 'proven', 1, 2)")
    backlog = Backlog(engine)
    backlog.open()
    backlog.open()
    old = Route("main", "n1", (RoutingCookie("SRV", "x"),), "", RouteState.PROVEN, 1.0, 2.0)
    assert backlog.routes() == [old]
    new = evolve(old, expires_at=60.0, source=Source.TRAFFIC)
    backlog.keep_route(new)
    assert backlog.routes() == [new]


def test_a_queue_of_an_earlier_version_learns_of_losses(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'crawler.db'}"
    before = Backlog(open_engine(url))
    before.open()
    before.add([arrival("token0")], 0.0)
    before.close()
    with sqlite3.connect(tmp_path / "crawler.db") as database:
        database.execute("DROP TABLE losses")
    backlog = Backlog(open_engine(url))
    backlog.open()
    assert backlog.due(1.0, 5)[0].lost == ""
    assert backlog.add_losses([Loss("token0", "it went")], 1.0) == 1
    backlog.close()
