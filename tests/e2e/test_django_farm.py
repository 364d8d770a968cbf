"""The whole journey with parts that nobody here wrote: Chromium, HAProxy, and Django's own admin on three nodes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support import balancers
from tests.support.children import Child, Children, wait_for
from tests.support.django_site import PASSWORD, PEOPLE
from tests.support.farm import NODES, Applications, ProcessFarm, StickySettings, listens
from tests.support.people import BrowserPerson, chromium
from tests.support.replay_pictures import Visit, check_replays

__all__ = ["chromium"]

#: One node compresses its pages, the others do not.
_COMPRESSES = "n2"


@pytest.fixture(scope="module")
def admins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    """Django's admin on three nodes with one database."""
    folder = tmp_path_factory.mktemp("django")
    ports, children = ReservedPorts(), Children(folder)
    made = Applications({name: ports.take() for name in NODES}, folder / "ledger")
    made.ledger.mkdir()
    environment = {
        "DJANGO_SETTINGS_MODULE": "tests.support.django_site",
        "LBC_TEST_DATABASE": str(folder / "site.sqlite3"),
        "LBC_TEST_LEDGER": str(made.ledger),
    }
    try:
        prepared = children.module("prepare", "tests.support.django_site", **environment)
        wait_for("the database", prepared.died, 60)
        assert prepared.ended() == 0, prepared.last_words()
        for name, port in made.ports.items():
            _serve(children, name, port, {**environment, "LBC_TEST_NODE": name})
        for name, port in made.ports.items():
            running = children[f"django-{name}"]
            wait_for(f"Django {name}", lambda port=port: listens(port, "/admin/login/"), 60, running)
        yield made
    finally:
        children.kill()
        ports.release()


def _serve(children: Children, name: str, port: int, environment: dict[str, str]) -> Child:
    more = {"LBC_TEST_GZIP": "1"} if name == _COMPRESSES else {}
    command = ["runserver", "--noreload", "--insecure", "--skip-checks", f"127.0.0.1:{port}"]
    return children.module(f"django-{name}", "django", *command, **environment, **more)


class Person(BrowserPerson):
    """Somebody who administers the site."""

    def __init__(self, browser: Any, farm: ProcessFarm, name: str) -> None:
        super().__init__(browser, farm, {"sessionid", "csrftoken"})
        self.name = name
        # Both farms work on one database.
        self._friend = f"friend-of-{name}-{farm.site}"

    def fills(self, **fields: str) -> None:
        for name, text in fields.items():
            self.page.fill(f"input[name={name}]", text)

    # What they do, in steps, so that several can take turns.

    def signs_in(self) -> Iterator[None]:
        self.goes("/admin/")
        self.shows("Log in")
        yield
        self.fills(username=self.name, password="wrong")
        assert self.clicks("input[type=submit]").method == "POST"
        self.shows("Please enter the correct username")
        yield
        self.fills(username=self.name, password=PASSWORD)
        self.clicks("input[type=submit]")
        self.shows("Site administration")

    def signs_out(self) -> None:
        assert self.clicks("#logout-form button").method == "POST"
        self.shows("Logged out")

    def works(self) -> Iterator[None]:
        """A visit with everything: POSTs that answer with a page, mistakes, redirects, deletions."""
        yield from self.signs_in()
        yield
        self.clicks("#content a[href='/admin/auth/user/']")
        yield
        self.goes(f"/admin/auth/user/?q={self.name}%40example.com")
        self.shows("1 result")
        yield
        self.clicks("a.addlink[href^='/admin/auth/user/add/']")
        self.fills(username=self._friend, password1="swordfish-12", password2="swordfish-13")
        yield
        assert self.clicks("input[name=_save]").method == "POST"
        self.shows("The two password fields didn’t match.")
        yield
        self.fills(password1="swordfish-12", password2="swordfish-12")
        self.clicks("input[name=_save]")
        self.shows("was added successfully")
        yield
        self.fills(first_name="Zoë", email="not an address")
        assert self.clicks("input[name=_save]").method == "POST"
        self.shows("Enter a valid email address.")
        yield
        self.fills(email="zoe@example.com")
        self.clicks("input[name=_save]")
        yield
        self.goes("/admin/auth/group/add/")
        assert self.clicks("input[name=_save]").method == "POST"
        self.shows("This field is required.")
        yield
        self.fills(name=f"circle of {self.name} <&>")
        self.clicks("input[name=_save]")
        yield
        self.page.check("input.action-select >> nth=0")
        self.page.select_option("select[name=action]", "delete_selected")
        assert self.clicks("button[name=index]").method == "POST"
        self.shows("Are you sure")
        yield
        self.clicks("#content input[type=submit]")
        yield
        self.signs_out()

    def looks_in(self) -> Iterator[None]:
        """A short visit."""
        yield from self.signs_in()
        yield
        self.goes("/admin/password_change/")
        yield
        self.signs_out()


def take_turns(visits: list[Iterator[None]]) -> None:
    """All of them, a page here and a page there."""
    while visits:
        for visit in list(visits):
            try:
                next(visit)
            except StopIteration:
                visits.remove(visit)


@pytest.mark.parametrize("mode", ["insert", "insert indirect nocache httponly"])
def test_every_page_of_djangos_admin_is_archived_as_django_made_it(new_farm, admins, chromium, mode):
    farm = new_farm(balancers.haproxy_with(mode), StickySettings(("SRV",)), admins)
    people = [Person(chromium, farm, name) for name in PEOPLE]
    take_turns([people[0].works(), people[1].looks_in(), people[2].looks_in()])
    while {farm.served_page(person.views[-1]).node for person in people} != set(NODES):
        # The balancer gave two of them one node: the next one comes to the next.
        people.append(Person(chromium, farm, PEOPLE[0]))
        take_turns([people[-1].looks_in()])
        assert len(people) <= 8
    views = [view for person in people for view in person.views]
    assert len(views) >= 25
    assert sum(view.method == "POST" for view in views) >= 10
    found = farm.finished([view.token for view in views])
    farm.check_archived(views, found)
    assert set(found) == {view.token for view in views}
    assert {recording["origin_node"] for recording in found.values()} == set(NODES)
    hidden = "httponly" in mode
    assert {recording["route"] for recording in found.values()} <= ({"own"} if hidden else {"recorded", "own"})
    expected = sorted((view.url, view.status, found[view.token]["sha256"]) for view in views)
    assert sorted(farm.records("text/html")) == expected
    # What a page needs to be shown came along.
    origin = f"http://127.0.0.1:{farm.site}"
    assert f"{origin}/static/admin/css/base.css" in {url for url, _, _ in farm.records("text/css")}
    check_secrets(farm, people, [view.token for view in views], hidden)


def test_djangos_admin_looks_as_it_did(new_farm, admins, chromium, tmp_path):
    farm = new_farm(balancers.haproxy_with("insert"), StickySettings(("SRV",)), admins)
    visit = Visit(chromium, f"http://127.0.0.1:{farm.site}")
    visit.sees("login", "/admin/", with_scripts=False)
    visit.page.fill("input[name=username]", PEOPLE[0])
    visit.page.fill("input[name=password]", PASSWORD)
    visit.leaves_by("input[type=submit]")
    visit.sees("index", "/admin/", with_scripts=False)
    visit.sees("users", "/admin/auth/user/", with_scripts=False)
    visit.sees("add", "/admin/auth/user/add/", with_scripts=False)
    check_replays(chromium, visit, f"http://127.0.0.1:{farm.api}", tmp_path)


@pytest.mark.slow
def test_djangos_admin_looks_as_it_did_with_its_scripts(new_farm, admins, chromium, tmp_path):
    """What scripts change: the theme, the filter of the navigation, the calendar's shortcuts, the two lists."""
    ports = ReservedPorts()
    lines = f'replay_scripts = "tcp:{ports.take()}:interface=127.0.0.1"\n'
    try:
        farm = new_farm(balancers.haproxy_with("insert"), StickySettings(("SRV",)), admins, crawler_lines=lines)
        visit = Visit(chromium, f"http://127.0.0.1:{farm.site}")
        visit.sees("login", "/admin/", is_settled=True)
        visit.page.fill("input[name=username]", PEOPLE[0])
        visit.page.fill("input[name=password]", PASSWORD)
        visit.leaves_by("input[type=submit]")
        visit.sees("index", "/admin/", is_settled=True)
        visit.sees("users", "/admin/auth/user/", is_settled=True)
        visit.sees("change", "/admin/auth/user/1/change/", is_settled=True)
        check_replays(chromium, visit, f"http://127.0.0.1:{farm.api}", tmp_path, with_scripts=True)
    finally:
        ports.release()


def check_secrets(farm: ProcessFarm, people: list[Person], tokens: list[str], hidden: bool) -> None:
    """Only the routing part of the visitors' cookies left their node."""
    assert all(person.cookie_names == {"SRV", "sessionid", "csrftoken"} for person in people)
    secrets = set.union(*(person.secrets for person in people))
    assert len(secrets) >= 3 * len(people)
    heard = b"\n".join(farm.taps["visitors"].heard())
    assert [secret for secret in secrets if secret.encode() in heard], "the tap is deaf"
    farm.check_secrecy([*secrets, PASSWORD, "swordfish-12"], tokens)
    routing = {f"SRV={name}" for name in NODES}
    cookies = {cookie for _, _, cookie, _ in farm.taps["crawler"].requests()}
    assert routing <= cookies <= routing | {""}
    noticed = [body for _, target, _, body in farm.taps["visitors"].requests() if target.endswith("/_lbc/notice")]
    assert {json.loads(body)["token"] for body in noticed} == set(tokens)
    for body in noticed:
        assert set(json.loads(body)["cookies"]) == (set() if hidden else {"SRV"})
        assert [secret for secret in secrets if secret.encode() in body] == []
    sent = [notice for _, _, _, body in farm.taps["notices"].requests() for notice in json.loads(body)["notices"]]
    assert {one["token"] for one in sent} == set(tokens)
    assert all(set(one["cookies"]) <= {"SRV"} for one in sent)
