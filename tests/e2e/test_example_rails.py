"""The example for Rails: Puma behind HAProxy, whose cookie neither scripts nor nodes see."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.example_farm import ExampleFarm, example_farm
from tests.support.example_visitor import visits_to_both_nodes


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleFarm]:
    with example_farm("rails", tmp_path_factory.mktemp("rails"), "rails", "haproxy", "chromium") as farm:
        yield farm


def test_every_page_of_rails_is_archived_through_a_hidden_cookie(farm):
    visitors = visits_to_both_nodes(farm)
    # The cookie cannot be recorded: the crawler gets one of its own for each node.
    assert set(farm.routes()) == {"own"}
    assert 422 in {view.status for visitor in visitors for view in visitor.views}
