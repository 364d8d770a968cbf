"""Databases of earlier versions are gone on with."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import create_mock_engine, inspect
from sqlalchemy.dialects import mysql, postgresql

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.crawler.queue.schema import METADATA
from lbcompanion.model import Loss, RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source
from tests.support.arrivals import arrival


def opened(url: str) -> Database:
    database = Database(open_engine(url))
    database.open()
    return database


@pytest.mark.slow
def test_a_table_of_an_earlier_version_is_gone_on_with() -> None:
    engine = open_engine("sqlite://")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE routes (site VARCHAR(255), node VARCHAR(64), cookies TEXT NOT NULL, dialect VARCHAR(64) "
            "NOT NULL, state VARCHAR(16) NOT NULL, learnt_at FLOAT NOT NULL, proven_at FLOAT, PRIMARY KEY (site, node))"
        )
        connection.exec_driver_sql("INSERT INTO routes VALUES ('main', 'n1', '[[\"SRV\", \"x\"]]', '', 'proven', 1, 2)")
    database = Database(engine)
    database.open()
    database.open()
    table = RouteTable(database)
    old = Route("main", "n1", (RoutingCookie("SRV", "x"),), "", RouteState.PROVEN, 1.0, 2.0)
    assert table.load() == [old]
    new = evolve(old, expires_at=60.0, source=Source.TRAFFIC)
    table.save(new)
    assert table.load() == [new]


@pytest.mark.slow
def test_a_queue_of_an_earlier_version_learns_of_losses(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'crawler.db'}"
    before = opened(url)
    Backlog(before).add([arrival("token0")], 0.0)
    before.close()
    with sqlite3.connect(tmp_path / "crawler.db") as connection:
        connection.execute("DROP TABLE losses")
    database = opened(url)
    backlog = Backlog(database)
    assert backlog.due(1.0, 5)[0].loss_reason is None
    assert backlog.add_losses([Loss("token0", "it went")], 1.0) == 1
    database.close()


def test_the_index_of_claims_is_for_servers_only() -> None:
    engine = open_engine("sqlite://")
    database = Database(engine)
    database.open()
    names = {index["name"] for index in inspect(engine).get_indexes("recordings")}
    assert "recordings_due" in names
    assert not [name for name in names if str(name).startswith(("recordings_claims", "recordings_open"))]
    for dialect in (postgresql.dialect(), mysql.dialect()):
        made: list[str] = []

        def note(statement: Any, *_: object, dialect: Any = dialect, made: list[str] = made) -> None:
            made.append(str(statement.compile(dialect=dialect)))

        METADATA.create_all(create_mock_engine(f"{dialect.name}://", note), checkfirst=False)
        assert any("recordings_claims" in each for each in made)
        assert not any(" FLOAT" in each.upper().replace("DOUBLE", "") for each in made)
