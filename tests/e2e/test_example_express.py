"""The example for Express on Node, behind Caddy with its cookie."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.example_farm import ExampleFarm, example_farm
from tests.support.example_visitor import visits_to_both_nodes


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleFarm]:
    with example_farm("express", tmp_path_factory.mktemp("express"), "express", "caddy", "chromium") as farm:
        yield farm


def test_every_page_of_express_is_archived_through_its_cookie(farm):
    visitors = visits_to_both_nodes(farm)
    assert set(farm.routes()) <= {"recorded", "own"}
    assert all("lb" in visitor.cookies for visitor in visitors)
