from __future__ import annotations

from itertools import pairwise

import pytest
from sqlalchemy import select

from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.farm_check import QueueOfAnotherFarm, check_farm
from lbcompanion.crawler.queue.schema import FARMS
from lbcompanion.protocol.secrets import FarmSecret

OLD, NEW, OTHER = b"the old secret, long enough", b"the new secret, long enough", b"of another farm"


@pytest.fixture
def database() -> Database:
    made = Database(open_engine("sqlite://"))
    made.open()
    return made


def test_another_farm_is_refused(database: Database) -> None:
    check_farm(database, OLD)
    check_farm(database, OLD)
    with pytest.raises(QueueOfAnotherFarm) as caught:
        check_farm(database, OTHER)
    assert "give each farm a database of its own" in str(caught.value)
    check_farm(database, OLD)
    with database.read() as connection:
        noted = connection.execute(select(FARMS.c.secret)).scalars().all()
    assert len(noted) == 1
    assert OLD.decode() not in noted[0]


def test_a_secret_is_replaced_step_by_step(database: Database) -> None:
    steps = [FarmSecret(OLD), FarmSecret(OLD, [NEW]), FarmSecret(NEW, [OLD]), FarmSecret(NEW)]
    for one, next_one in pairwise(steps):
        # Two crawlers, one after the other; the second may be restarted before its turn.
        for secret in (one, one, next_one, one, next_one, next_one):
            check_farm(database, secret)
    with pytest.raises(QueueOfAnotherFarm):
        check_farm(database, OLD)


@pytest.mark.programs
@pytest.mark.slow
def test_a_server() -> None:
    # Its drivers are extras.
    from tests.support.store_servers import Postgresql, of_its_own

    with of_its_own(Postgresql) as server:
        shared = Database(open_engine(server.url))
        shared.open()
        check_farm(shared, OLD)
        with pytest.raises(QueueOfAnotherFarm):
            check_farm(shared, OTHER)
        check_farm(shared, FarmSecret(OTHER, [OLD]))
        shared.close()
