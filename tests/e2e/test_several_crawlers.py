"""Several crawlers on one queue, to which all faults happen: each page is archived once, none is lost. Pages that are
erased meanwhile leave nothing.

``make chaos`` runs the same for longer, with a new seed; then pywb shows the pages. LBC_CHAOS_SECONDS says for how
long, LBC_CHAOS_SEED repeats a run, LBC_CHAOS_CRAWLERS says how many crawlers there are, and LBC_CHAOS_SERVER=Mariadb
chooses the other server.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support import balancers, store_servers
from tests.support.children import wait_for
from tests.support.crawler_group import PER_NODE, CrawlerGroup
from tests.support.farm import NODES, StickySettings, fetched, listens
from tests.support.object_stores import s3_server
from tests.support.programs import find_program, need_library
from tests.support.queue_crawler import body_of
from tests.support.replay_tools import cdxj_lines, pywb
from tests.support.simulated_farm import ORIGIN
from tests.support.store_servers import Mariadb, Postgresql, of_its_own
from tests.support.visitor import Visitor

SECONDS = float(os.environ.get("LBC_CHAOS_SECONDS", "5"))
SEED = int(os.environ.get("LBC_CHAOS_SEED", "11"))
CRAWLERS = int(os.environ.get("LBC_CHAOS_CRAWLERS", "3"))
SERVER = getattr(store_servers, os.environ.get("LBC_CHAOS_SERVER", "Postgresql"))


@pytest.mark.slow
def test_chaos(tmp_path: Path) -> None:
    print(f"LBC_CHAOS_SEED={SEED}")
    need_library("obstore")
    with of_its_own(SERVER) as server, s3_server() as store:
        group = CrawlerGroup(server, tmp_path, SEED, store)
        try:
            for number in range(CRAWLERS):
                group.start(f"c{number}")
            for name in list(group.crawlers):
                group.ports(name)
            if SECONDS >= 30:
                group.pauses.append(12.0)  # longer than the driver waits for the server
            steps = int(SECONDS / 0.4)
            for step in range(steps):
                group.deliver(group.notices(15))
                group.pass_time(0.3)
                group.something_happens()
                if step % 4 == 3:
                    group.erase_something()
                if step == steps // 4:
                    group.freeze_server()
                if step == steps // 2:
                    group.restart_server()
                group.look()
            group.calm()
            group.wait_for_the_end(90 + SECONDS)
            group.end_erasures()
            wait_for("an upload", lambda: group.uploaded() or None, 90)
            group.stop()
            contents = group.add_up()
            print(f"{len(group.accepted)} notices; {group.uploaded()} uploads; {dict(group.happened)}")
            assert len(group.accepted) >= 20
            assert group.erased
            assert group.most_of_a_node <= PER_NODE
            tools_read(tmp_path, contents, group.backlog.recordings(1_000_000))
        except BaseException:
            print(group.happened)
            raise
        finally:
            group.close()


def tools_read(folder: Path, contents: Mapping[str, bytes], rows: Sequence[Any]) -> None:
    """cdxj-indexer finds each page where its recording says it is; in a long run pywb shows some of them."""
    archive = folder / "collected"
    archive.mkdir()
    for name, content in contents.items():
        (archive / name).write_bytes(content)
    if find_program("cdxj-indexer") is None:
        return
    lines = cdxj_lines(*sorted(archive.iterdir()))
    places = {(values["url"], values["filename"], int(values["offset"])) for _, _, values in lines}
    assert {(f"{ORIGIN}/{row['token']}", row["warc_file"], row["warc_offset"]) for row in rows} <= places
    if SECONDS >= 30:
        (folder / "pywb").mkdir()
        with pywb(folder / "pywb", *sorted(archive.iterdir())) as player:
            for row in random.Random(SEED).sample(list(rows), min(len(rows), 40)):
                assert player.page("20261123211000", f"{ORIGIN}/{row['token']}") == body_of(row["token"])


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
            # It is killed again: a page is archived, and its node has not answered the confirmation.
            (tmp_path / "c0" / "die").touch()
            notices = group.notices(5)
            is_answered = group.deliver(notices, ["c0"])
            wait_for("its end", lambda: child.died() or None)
            (tmp_path / "c0" / "ports").unlink()
            child.start()
            group.ports("c0")
            if not is_answered:  # it was killed between the commit and the answer: a node delivers again
                wait_for("a delivery", lambda: group.deliver(notices, ["c0"]) or None)
            group.wait_for_the_end()
            confirmed = tmp_path / "c0" / "confirmed"
            wait_for("confirmations", lambda: set(confirmed.read_text().split()) >= group.accepted or None, 90)
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


@pytest.mark.slow
def test_mariadb_that_is_killed_under_load(tmp_path: Path) -> None:
    """With flush=1 it loses nothing. With flush=0 it loses commits; what is left is whole."""
    with of_its_own(MariadbThatFlushes) as server, s3_server() as store:
        need_library("obstore")
        group = CrawlerGroup(server, tmp_path, store=store)
        try:
            child = group.start("c0")
            kill_under_load(group)
            group.add_up()
            count = len(group.accepted)
            server.stop()
            server.flush = 0  # type: ignore[attr-defined]
            server.start()
            (tmp_path / "c0" / "ports").unlink()
            child.start()
            kill_under_load(group)
            assert group.check_rows() >= count
        finally:
            group.close()


class MariadbThatFlushes(Mariadb):
    flush = 1


def kill_under_load(group: CrawlerGroup) -> None:
    """Kill the server while pages are archived and uploaded; the crawler reports when all works again."""
    group.ports("c0")
    wait_for("a delivery", lambda: group.deliver(group.notices(60)) or None)
    wait_for("the first page", lambda: group.counts()["archived"] or None)
    group.server.stop(signal.SIGKILL)
    wait_for("the problem", lambda: group.problems("c0") or None)
    group.server.start()
    wait_for("the end of the problem", lambda: group.problems("c0") == "" or None, 90)
    uploaded = group.uploaded()
    wait_for("a delivery", lambda: group.deliver(group.notices(10)) or None)
    group.wait_for_the_end()
    wait_for("an upload after the outage", lambda: group.uploaded() > uploaded or None, 90)
    group.stop()


STICKING = StickySettings(("SRV",), "haproxy-insert")


def test_a_farm_with_two_crawlers(new_farm: Any) -> None:
    """The nodes go on to the second crawler when the first is killed; both take pages from one queue."""
    with of_its_own(Postgresql) as server:
        ports = ReservedPorts()
        intake, api = ports.take(), ports.take()
        lines = f'name = "c0"\nqueue = "{server.url}"\nlease_seconds = 3\n'
        farm = new_farm(balancers.haproxy_with("insert"), STICKING, crawler_lines=lines, more_intakes=(intake,))
        text = farm.crawler_config(intake, api).replace('name = "c0"', 'name = "c1"')
        for name in ("state-crawler", "archive"):
            text = text.replace(f'"{name}"', f'"{name}-c1"')
        (farm.folder / "c1.toml").write_text(text)
        second = farm.children.lbcompanion("c1", "crawler", "--config", str(farm.folder / "c1.toml"))
        wait_for("c1", lambda: listens(api, "/healthz"), 60, second)
        visitors = [Visitor(farm.site) for _ in range(4)]
        views = [visitor.view("/first") for visitor in visitors]
        for visitor, view in zip(visitors, views, strict=True):
            visitor.notice(view)
        farm.finished([view.token for view in views])
        first = farm.children["crawler"]
        first.kill()
        first.ended()
        later = [visitor.view("/second") for visitor in visitors]
        for visitor, view in zip(visitors, later, strict=True):
            visitor.notice(view)
        farm.api, own = api, farm.api
        found = farm.finished([view.token for view in later])
        farm.check_archived(later, found)
        assert {found[view.token]["warc"]["crawler"] for view in later} == {"c1"}
        used = {json.loads(fetched(farm.admin[name], "/status")[1])["intake"] for name in NODES}
        assert f"http://127.0.0.1:{intake}" in used
        # What the first crawler archived is on its disk.
        other = next((view for view in views if found[view.token]["warc"]["crawler"] == "c0"), None)
        if other is not None:
            status, body = fetched(api, f"/api/recordings/{other.token}/page")
            assert status == 404
            assert "the crawler c0" in json.loads(body)["detail"]
        first.start()
        wait_for("c0", lambda: listens(own, "/healthz"), 60, first)
        for view in (*views, *later):
            farm.api = {"c0": own, "c1": api}[found[view.token]["warc"]["crawler"]]
            assert farm.archived(view.token) == farm.served_page(view).body
        ports.release()
