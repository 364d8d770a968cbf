"""The example for Java: Tomcat behind Apache, which goes by the route in the session's id."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.example_farm import ExampleFarm, example_farm
from tests.support.example_visitor import visits_to_both_nodes


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleFarm]:
    with example_farm("java", tmp_path_factory.mktemp("java"), "tomcat", "apache2", "chromium") as farm:
        yield farm


def test_every_page_of_tomcat_is_archived_through_its_route(farm):
    visitors = visits_to_both_nodes(farm)
    assert set(farm.routes()) <= {"recorded", "own"}
    # The first page of each visit has the session in its links.
    assert any(";jsessionid=" in view.url for visitor in visitors for view in visitor.views)
    # The style sheet of a first page has it, too. The crawler requests it without, and keeps it under that address.
    assert any(";jsessionid=" in address for address in farm.style_sheets())
    logs = [farm.folder / node / "logs" / "access.log" for node in ("n1", "n2")]
    requests = [line for log in logs for line in log.read_text().splitlines() if "lbcompanion" in line]
    assert [line for line in requests if "style.css" in line]
    assert [line for line in requests if "jsessionid" in line] == []
