from __future__ import annotations

import pytest
from attrs import evolve

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source
from tests.support.arrivals import arrival


def test_errors_tell_no_values() -> None:
    backlog = Backlog(Database(open_engine("sqlite://")))
    with pytest.raises(BacklogError) as caught:
        backlog.add([arrival("t", cookies={"SRV": "told-to-nobody"})], 1.0)
    assert "told-to-nobody" not in str(caught.value)
    assert caught.value.__cause__ is None


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
