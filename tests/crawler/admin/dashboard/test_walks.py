from __future__ import annotations

import pytest

from lbcompanion.protocol.visitors import visitor_pseudonyms
from tests.support.crawler_api import ApiCase
from tests.support.simulated_farm import SECRET

pytestmark = pytest.mark.slow


class WalkPagesTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        (self.visitor,) = visitor_pseudonyms(SECRET, "alice")
        self.walk = []
        for number in range(3):
            token = self.farm.nodes["n1"].capture(b"<title>Step <%d></title>" % number, f"/step/{number}")
            self.rig.take(token, {"SRV": "n1"}, visitor=self.visitor)
            self.walk.append(token)

    def body(self, path: str) -> str:
        response, body = self.get(path)
        self.assertEqual(response.code, 200, path)
        return body.decode()

    def test_visitors_are_listed_with_their_pages(self) -> None:
        body = self.body("/visitors")
        self.assertIn(f'<a href="/visitors/{self.visitor}">', body)
        self.assertIn('<td class="right">3</td>', body)

    def test_a_walk_shows_its_pages_in_order(self) -> None:
        body = self.body(f"/visitors/{self.visitor}")
        places = [body.index(f'src="/replay/{token}/"') for token in self.walk]
        self.assertEqual(places, sorted(places))
        self.assertIn(f"/api/sessions/{self.visitor}/export", body)
        self.assertIn(f"/recording/{self.walk[0]}/erase-visitor", body)

    def test_a_recording_leads_to_its_neighbours_and_its_walk(self) -> None:
        body = self.body(f"/recording/{self.walk[1]}")
        self.assertIn(f'rel="prev" href="/recording/{self.walk[0]}"', body)
        self.assertIn(f'rel="next" href="/recording/{self.walk[2]}"', body)
        self.assertIn(f'href="/visitors/{self.visitor}"', body)

    def test_nobody(self) -> None:
        self.assertEqual(self.get("/visitors/v1none")[0].code, 404)
        self.assertIn("No visitor is known", self.body("/visitors?site=other"))
