"""Several crawlers on one queue that are killed, stopped and cut off: each page is archived once, none is lost.

``make chaos`` runs the same for longer, with a seed of its own. LBC_CHAOS_SECONDS says for how long, LBC_CHAOS_SEED
repeats a run, LBC_CHAOS_CRAWLERS says how many crawlers there are.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.crawler_group import PER_NODE, CrawlerGroup
from tests.support.store_servers import Postgresql, of_its_own

SECONDS = float(os.environ.get("LBC_CHAOS_SECONDS", "8"))
SEED = int(os.environ.get("LBC_CHAOS_SEED", "11"))
CRAWLERS = int(os.environ.get("LBC_CHAOS_CRAWLERS", "3"))


@pytest.mark.slow
def test_chaos(tmp_path: Path) -> None:
    print(f"LBC_CHAOS_SEED={SEED}")
    with of_its_own(Postgresql) as server:
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
            group.wait_for_the_end()
            group.stop()
            group.add_up()
            assert len(group.accepted) >= 20
            assert group.most_of_a_node <= PER_NODE
        except BaseException:
            print(group.happened, group.children.last_words())
            raise
        finally:
            group.close()
