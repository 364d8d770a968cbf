from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from lbcompanion.crawler.queue.erasures import Erasures, Selection
from tests.support.arrivals import arrival
from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow

ANN, BOB = "v1" + "a" * 22, "v1" + "b" * 22


class SessionsApiTests(ApiCase):
    def see(self, token: str, visitor: str, at: float) -> None:
        noticed = arrival(token, visitor=visitor)
        self.rig.backlog.add([evolve(noticed, notice=evolve(noticed.notice, viewed_at=at))], at)

    def setUp(self) -> None:
        super().setUp()
        for token, visitor, at in (
            *(("a1", ANN, 100.0), ("a2", ANN, 101.5), ("b1", BOB, 102.0), ("a3", ANN, 3000.0)),
            *(("b2", BOB, 2000.0), ("x", "", 4000.0)),
        ):
            self.see(token, visitor, at)

    def walk(self, query: str = "", visitor: str = ANN) -> Any:
        return self.json(f"/api/sessions/{visitor}?{query}")

    def test_visitors_are_listed(self) -> None:
        found = self.json("/api/sessions")
        self.assertEqual([(each["visitor"], each["pages"]) for each in found["sessions"]], [(ANN, 3), (BOB, 2)])
        self.assertEqual(found["sessions"][1]["first_at"], "1970-01-01T00:01:42.000000Z")
        self.assertEqual(found["sessions"][1]["last_at"], "1970-01-01T00:33:20.000000Z")
        first = self.json("/api/sessions?limit=1")
        second = self.json(f"/api/sessions?limit=1&after={first['next']}")
        self.assertEqual([each["visitor"] for each in second["sessions"]], [BOB])
        self.assertEqual(self.json(f"/api/sessions?limit=1&before={second['previous']}"), first)

    def test_a_walk_in_order_of_time(self) -> None:
        found = self.walk()
        self.assertEqual([each["token"] for each in found["recordings"]], ["a1", "a2", "a3"])
        gaps = [each.get("seconds_since_previous") for each in found["recordings"]]
        self.assertEqual(gaps, [None, 1.5, 2898.5])
        self.assertEqual((found["next"], found["previous"], found["pages"]), (None, None, 3))
        first = self.walk("limit=2")
        second = self.walk(f"limit=2&after={first['next']}")
        self.assertEqual([each["token"] for each in second["recordings"]], ["a3"])
        back = self.walk(f"limit=2&before={second['previous']}")
        self.assertEqual([each["token"] for each in back["recordings"]], ["a1", "a2"])
        for unknown in ("v1" + "c" * 22, "x", "%00"):
            self.assertEqual(self.get(f"/api/sessions/{unknown}")[0].code, 404)

    def test_a_recording_has_its_neighbours(self) -> None:
        found = [self.json(f"/api/recordings/{token}") for token in ("a1", "a2", "a3", "x")]
        pairs = [(each["previous"], each["next"]) for each in found]
        self.assertEqual(pairs, [(None, "a2"), ("a1", "a3"), ("a2", None), (None, None)])

    def test_an_erased_recording_is_in_no_walk(self) -> None:
        erasures, selection = Erasures(self.rig.database), Selection(tokens=("a2", "b1", "b2"))
        erasures.erase(erasures.begin(selection, "api", 1.0), selection, 1.0)
        self.assertEqual([each["token"] for each in self.walk()["recordings"]], ["a1", "a3"])
        self.assertEqual([each["visitor"] for each in self.json("/api/sessions")["sessions"]], [ANN])
        self.assertEqual(self.json("/api/recordings/a1")["next"], "a3")
        self.assertEqual(self.get(f"/api/sessions/{BOB}")[0].code, 404)
