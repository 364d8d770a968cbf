from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import READING, WRITING, BacklogError, Database, open_engine
from tests.support.arrivals import arrival


def test_errors_tell_no_values() -> None:
    backlog = Backlog(Database(open_engine("sqlite://")))
    with pytest.raises(BacklogError) as caught:
        backlog.add([arrival("t", cookies={"SRV": "told-to-nobody"})], 1.0)
    assert "told-to-nobody" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.slow
def test_a_successful_read_does_not_hide_a_failed_write(tmp_path: Path) -> None:
    health = Health()
    database = Database(open_engine(f"sqlite:///{tmp_path}/q.db"), health)
    database.open()
    backlog = Backlog(database)
    backlog.add([arrival("t")], 1.0)
    assert health.lines() == []
    with database.change() as connection:
        connection.execute(text("PRAGMA query_only=ON"))
    for _ in range(2):
        with pytest.raises(BacklogError):
            backlog.add([arrival("u")], 1.0)
        assert backlog.counts()["open"] == 1
        assert health.is_failing(WRITING)
        assert not health.is_failing(READING)
    with database.change() as connection:  # changes nothing
        connection.execute(text("PRAGMA query_only=OFF"))
    assert health.is_failing(WRITING)
    backlog.add([arrival("u")], 1.0)
    assert health.lines() == []
    database.close()
    with database.change() as connection:
        connection.execute(text("DROP TABLE recordings"))
    with pytest.raises(BacklogError):
        backlog.counts()
    assert health.is_failing(READING)
