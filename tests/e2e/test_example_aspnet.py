"""The example for ASP.NET: Mono behind nginx, and HAProxy in the part of IIS' Application Request Routing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.example_farm import ExampleFarm, example_farm
from tests.support.example_visitor import visits_to_both_nodes


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleFarm]:
    folder = tmp_path_factory.mktemp("aspnet")
    with example_farm("aspnet", folder, "fastcgi-mono-server4", "nginx", "haproxy", "chromium") as farm:
        yield farm


def test_every_page_of_aspnet_is_archived_through_its_affinity_cookie(farm):
    visitors = visits_to_both_nodes(farm)
    assert set(farm.routes()) <= {"recorded", "own"}
    for visitor in visitors:
        assert {"ARRAffinity", "ASP.NET_SessionId"} <= visitor.cookies.keys()
        assert all(b"__VIEWSTATE" in view.body for view in visitor.views if view.method == "POST")
