"""A balancer that sticks not at all, three nodes, one store that all share: whoever is asked has the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support import balancers
from tests.support.children import Children, wait_for
from tests.support.farm import NODES, Applications, ProcessFarm, StickySettings, fetched, plain_applications
from tests.support.private_site import SECRETS
from tests.support.store_servers import IN_URL, PASSWORD, Postgresql, Redis, Server, running
from tests.support.visitor import View, Visitor

VISITS = 24
WRONG = "the store fails; pages pass without a copy"
ANY_ONLY = 'ladder = ["any"]\n'


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    folder = tmp_path_factory.mktemp("applications")
    ports, children = ReservedPorts(), Children(folder)
    try:
        yield plain_applications(children, ports, folder, "tests.support.private_site")
    finally:
        children.kill()
        ports.release()


def looked(farm: ProcessFarm, count: int, path: str = "/page", notice: bool = True) -> list[View]:
    """Visitors who each look at one page."""
    views = []
    for number in range(count):
        visitor = Visitor(farm.site)
        views.append(visitor.view(f"{path}/{number}"))
        if notice:
            visitor.notice(views[-1])
    return views


def all_kept(farm: ProcessFarm) -> None:
    for name in NODES:
        farm.wait_stored(name)


def wrong_at(farm: ProcessFarm, name: str) -> list[str]:
    status, body = fetched(farm.admin[name], "/readyz")
    assert status == 200
    found: list[str] = json.loads(body)["wrong"]
    return found


def logs(farm: ProcessFarm) -> dict[str, str]:
    return {name: farm.children[f"companion-{name}"].log.read_text() for name in NODES}


def noticed_late(farm: ProcessFarm, views: list[View]) -> None:
    for view in views:
        Visitor(farm.site).notice(view)


def attempts(farm: ProcessFarm, view: View) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = farm.recordings().get(view.token, {}).get("attempts", [])
    return found


@pytest.mark.parametrize(("kind", "sealed"), [(Redis, True), (Postgresql, False)], ids=["redis, sealed", "postgresql"])
def test_any_node_has_every_page(new_farm, applications, tmp_path: Path, kind: type[Server], sealed: bool) -> None:
    server = running(kind)
    (tmp_path / "seal.key").write_bytes(b"thirty-two bytes that are a key.")
    lines = 'encryption_key_file = "seal.key"\n' * sealed
    farm = new_farm(
        balancers.not_sticky(), StickySettings(), applications,
        store=server.url, store_lines=lines, site_lines=lambda public: ANY_ONLY, give_up_seconds=40,
    )  # fmt: skip
    # Byte for byte, at the first attempt, whoever made it and whoever is asked. (A notice that is quicker than the
    # store, as no browser's is, is told to come again.)
    views = looked(farm, VISITS, notice=False)
    all_kept(farm)
    noticed_late(farm, views)
    found = farm.finished([view.token for view in views])
    farm.check_archived(views, found)
    recordings = [found[view.token] for view in views]
    assert [[attempt["result"] for attempt in recording["attempts"]] for recording in recordings] == [
        ["archived"]
    ] * VISITS
    assert {recording["route"] for recording in recordings} == {"any"}
    assert (
        {recording["answered_by"] for recording in recordings}
        == {recording["origin_node"] for recording in recordings}
        == set(NODES)
    )
    assert any(recording["answered_by"] != recording["origin_node"] for recording in recordings)

    # What is nobody's business never leaves the node; sealed, nothing can be read where it lies.
    private = looked(farm, 3, "/private", notice=False)
    all_kept(farm)
    lies_there = server.content()
    assert lies_there
    assert [secret for secret in SECRETS if secret in lies_there] == []
    assert (b"/private/" in lies_there, b"<!DOCTYPE html>" in lies_there) == (not sealed, not sealed)
    noticed_late(farm, private)
    farm.finished([view.token for view in private])
    for view in private:
        assert all(secret in farm.served_page(view).body for secret in SECRETS)
        archived = farm.archived(view.token)
        assert archived.startswith(b"<!DOCTYPE html>")
        assert [secret for secret in SECRETS if secret in archived] == []

    through_an_outage(farm, server)
    for recording in logs(farm).values():
        assert PASSWORD not in recording
        assert IN_URL not in recording


def through_an_outage(farm: ProcessFarm, server: Server) -> None:
    """Visitors have their pages, ``/readyz`` and one line tell; and when the store is back, all is as before."""
    waiting = looked(farm, 3, notice=False)
    all_kept(farm)
    server.stop()
    unkept = looked(farm, 6)
    for name in NODES:
        wait_for(f"{name} says what is wrong", lambda name=name: WRONG in wrong_at(farm, name))
    noticed_late(farm, waiting)
    for view in waiting:
        tried = wait_for("a vain attempt", lambda view=view: attempts(farm, view))
        assert {one["result"] for one in tried} == {"status 503"}
    server.start()
    for name in NODES:
        wait_for(f"{name} is well again", lambda name=name: WRONG not in wrong_at(farm, name))
    for recording in logs(farm).values():
        assert (recording.count("store fails: "), recording.count("store works again")) == (1, 1)
    # What Redis held has gone with it.
    later = looked(farm, 6) + (waiting if isinstance(server, Postgresql) else [])
    farm.check_archived(later, farm.finished([view.token for view in later]))
    assert all(farm.served_page(view).body == view.body for view in unkept)


def test_a_store_that_is_not_there_at_the_start(new_farm, applications, tmp_path: Path) -> None:
    server = running(Redis)
    server.stop()
    farm = new_farm(
        balancers.not_sticky(), StickySettings(), applications,
        store=server.url, site_lines=lambda public: ANY_ONLY,
    )  # fmt: skip
    for view in looked(farm, 6):
        assert view.body == farm.served_page(view).body
    for name in NODES:
        wait_for(f"{name} says what is wrong", lambda name=name: WRONG in wrong_at(farm, name))
    server.start()
    for name in NODES:
        wait_for(f"{name} is well again", lambda name=name: WRONG not in wrong_at(farm, name))
    views = looked(farm, 6)
    farm.check_archived(views, farm.finished([view.token for view in views]))
