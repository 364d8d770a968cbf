"""Tomcat as it comes, behind Apache: an application below a context path, whose HttpOnly session cookie with the route
holds for that path only, while the companions' own paths are at the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support.balancer_kinds.apache import Apache, apache
from tests.support.children import Children
from tests.support.farm import NODES, Applications, ProcessFarm, StickySettings, plain_applications
from tests.support.programs import need_program
from tests.support.scoped_browser import Browser
from tests.support.session_site import TOMCAT


def _as_it_comes() -> Apache:
    usual = apache(
        TOMCAT,
        f'Header edit* Set-Cookie "^({TOMCAT}=[0-9A-F]+)\\.(n[0-9]); Path=/$" "$1.tc-$2; Path=/shop; HttpOnly"',
    )

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        written = usual.text(folder, port, nodes, admins).replace(" route=n", " route=tc-n")
        paths = 'ProxyPass "/shop" "balancer://nodes/shop"\nProxyPass "/_lbc" "balancer://nodes/_lbc"\n'
        return written.replace('ProxyPass "/" "balancer://nodes/"\n', paths)

    return Apache("apache", text)


@pytest.fixture(name="applications")
def _applications(tmp_path: Path) -> Iterator[Applications]:
    folder, ports = tmp_path / "applications", ReservedPorts()
    folder.mkdir()
    children = Children(folder)
    try:
        yield plain_applications(children, ports, folder, "tests.support.session_site")
    finally:
        children.kill()
        ports.release()


@pytest.mark.parametrize(
    "sticky", [StickySettings((TOMCAT,), "jvmroute"), StickySettings()], ids=["configured", "told nothing"]
)
def test_every_page_is_archived(new_farm: Any, applications: Applications, sticky: StickySettings) -> None:
    need_program("apache2")
    farm: ProcessFarm = new_farm(_as_it_comes(), sticky, applications)
    tokens = []
    while {farm.owner(token) for token in tokens} != set(NODES) or len(tokens) < 12:
        browser = Browser(farm.site)
        pages = [browser.view(path)[0] for path in ("/shop/", "/shop/item?id=1", "/shop/a/b")]
        assert len({farm.owner(token) for token in pages}) == 1
        tokens += pages
        assert len(tokens) < 60
    found = farm.finished(tokens, 60)
    assert {token: found[token]["outcome"] for token in tokens} == dict.fromkeys(tokens, "archived")
    assert all(found[token]["answered_by"] == farm.owner(token) for token in tokens)
    first = [found[token]["attempts"][0]["result"] for token in tokens[-6:]]
    assert first == ["archived"] * 6
