"""Several crawlers on one queue that are killed, stopped and cut off: each page is archived once, none is lost.

``make chaos`` runs the same for longer, with a new seed. LBC_CHAOS_SECONDS says for how long, LBC_CHAOS_SEED repeats a
run, LBC_CHAOS_CRAWLERS says how many crawlers there are, and LBC_CHAOS_SERVER=Mariadb chooses the other server.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support import store_servers
from tests.support.children import wait_for
from tests.support.crawler_group import PER_NODE, CrawlerGroup
from tests.support.store_servers import Postgresql, of_its_own

SECONDS = float(os.environ.get("LBC_CHAOS_SECONDS", "8"))
SEED = int(os.environ.get("LBC_CHAOS_SEED", "11"))
CRAWLERS = int(os.environ.get("LBC_CHAOS_CRAWLERS", "3"))
SERVER = getattr(store_servers, os.environ.get("LBC_CHAOS_SERVER", "Postgresql"))


@pytest.mark.slow
def test_chaos(tmp_path: Path) -> None:
    print(f"LBC_CHAOS_SEED={SEED}")
    with of_its_own(SERVER) as server:
        group = CrawlerGroup(server, tmp_path, SEED)
        try:
            for number in range(CRAWLERS):
                group.start(f"c{number}")
            for name in list(group.crawlers):
                group.ports(name)
            steps = int(SECONDS / 0.4)
            for step in range(steps):
                group.deliver(group.notices(20))
                group.pass_time(0.3)
                if step % 2:
                    group.something_happens()
                if step == steps // 2:
                    group.restart_server()
                group.look()
            group.calm()
            group.wait_for_the_end(90 + SECONDS)
            group.stop()
            group.add_up()
            print(f"{len(group.accepted)} notices; {dict(group.happened)}")
            assert len(group.accepted) >= 20
            assert group.most_of_a_node <= PER_NODE
        except BaseException:
            print(group.happened, group.children.last_words())
            raise
        finally:
            group.close()


@pytest.mark.slow
def test_a_crawler_that_is_killed_continues_at_once(tmp_path: Path) -> None:
    """Its claims would hold for a minute; they are its own, so it takes them back."""
    with of_its_own(Postgresql) as server:
        group = CrawlerGroup(server, tmp_path)
        try:
            child = group.start("c0", lease_seconds=600, answer_seconds=1.0)
            group.ports("c0")
            group.deliver(group.notices(30))
            wait_for("claims", lambda: group.claims() or None)
            child.kill()
            child.ended()
            assert group.claims()
            (tmp_path / "c0" / "ports").unlink()
            child.start()
            group.ports("c0")
            # A second one of the same name is refused while the first runs.
            second = group.start("c0", "other")
            assert second.ended() == 0
            assert 'the queue is in use by another crawler of the name "c0": process' in second.last_words()
            group.crawlers.pop("other")
            group.wait_for_the_end()
            group.stop()
            assert group.claims() == 0
            group.add_up()
        finally:
            group.close()


@pytest.mark.slow
def test_a_database_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    with of_its_own(Postgresql) as server:
        group = CrawlerGroup(server, tmp_path)
        try:
            for name in ("c0", "c1"):
                group.start(name)
            for name in ("c0", "c1"):
                group.ports(name)
            group.deliver(group.notices(10))
            server.stop()
            assert group.deliver(group.notices(5)) == ""
            assert group.last_status == 503
            for name in ("c0", "c1"):
                said = wait_for("the problem", lambda name=name: group.problems(name) or None)
                assert "the queue" in said
                assert "server" in said
            server.start()
            for name in ("c0", "c1"):
                wait_for("the end of the problem", lambda name=name: group.problems(name) == "" or None)
            assert group.deliver(group.notices(10), ["c0"]) == "c0"
            assert group.deliver(group.notices(10), ["c1"]) == "c1"
            group.wait_for_the_end()
            group.stop()
            group.add_up()
            assert len(group.accepted) == 30
        finally:
            group.close()
