"""Balancers as they come: they replace ``Host``, and some of them change HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support.balancer_kinds import apache, nginx
from tests.support.balancers import Balancer
from tests.support.children import Children
from tests.support.farm import Applications, ProcessFarm, StickySettings, plain_applications
from tests.support.programs import need_program
from tests.support.session_site import SHOPPER
from tests.support.visitor import View, Visitor

pytestmark = [pytest.mark.slow, pytest.mark.programs, pytest.mark.network]

_HASH = StickySettings((SHOPPER,), "nginx-hash")
_BALANCERS: dict[str, tuple[str, Balancer, StickySettings]] = {
    "nginx, Host of the upstream": ("nginx", nginx.DEFAULT_HOST, _HASH),
    "apache, Host of the member": ("apache2", apache.DEFAULT_HOST, StickySettings(("ROUTEID",), "apache-route")),
    "nginx, sub_filter": ("nginx", nginx.SUB_FILTER, _HASH),
}


@pytest.fixture(name="applications", scope="module")
def _applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    folder = tmp_path_factory.mktemp("applications")
    ports, children = ReservedPorts(), Children(folder)
    try:
        yield plain_applications(children, ports, folder, "tests.support.session_site")
    finally:
        children.kill()
        ports.release()


@pytest.mark.parametrize("name", _BALANCERS)
def test_each_page_is_archived_under_its_own_address(
    new_farm: Callable[..., ProcessFarm], applications: Applications, name: str
) -> None:
    program, balancer, sticky = _BALANCERS[name]
    need_program(program)
    farm = new_farm(balancer, sticky, applications)
    views: list[View] = []
    for number in range(6):
        visitor = Visitor(farm.site, sticky.cookies)
        views.append(visitor.view(f"/page/{number}"))
        visitor.notice(views[-1])
    found = farm.finished([view.token for view in views])
    for view in views:
        recording = found[view.token]
        assert (recording["outcome"], recording["reason"]) == ("archived", None), recording
        assert recording["url"] == view.url
        assert farm.archived(view.token) == farm.served_page(view).body
