from __future__ import annotations

import pytest

from tests.support.crawler_api import ApiCase
from tests.support.simulated_farm import ORIGIN

pytestmark = pytest.mark.slow


class VersionPagesTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        self.pair = []
        for node, text in (("n1", "old <price>"), ("n2", "new price")):
            body = f"<title>Cart</title><p>same</p><p>{text.replace('<', '&lt;')}</p>".encode()
            token = self.farm.nodes[node].capture(body, "/cart")
            self.rig.take(token, {"SRV": node})
            self.pair.append(token)

    def test_the_versions_of_an_address(self) -> None:
        body = self.get(f"/versions?url={ORIGIN}/cart")[1].decode()
        for token in self.pair:
            self.assertIn(f'value="{token}"', body)
        self.assertIn("Compare the two", body)
        self.assertEqual(self.get("/versions")[0].code, 200)
        self.assertEqual(self.get("/versions?url=http://a/*")[0].code, 400)

    def test_two_recordings_side_by_side(self) -> None:
        body = self.get(f"/compare?a={self.pair[0]}&b={self.pair[1]}")[1].decode()
        self.assertIn("<del>- old &lt;price&gt;</del>", body)
        self.assertIn("<ins>+ new price</ins>", body)
        self.assertNotIn("equal lines", body)
        for token in self.pair:
            self.assertIn(f'src="/replay/{token}/"', body)
        self.assertIn("equal, byte for byte", self.get(f"/compare?a={self.pair[0]}&b={self.pair[0]}")[1].decode())
        pages = [f"{'<p>same' * 30}<p>{number}".encode() for number in range(2)]
        long = [self.farm.nodes["n1"].capture(page, "/long") for page in pages]
        for token in long:
            self.rig.take(token, {"SRV": "n1"})
        body = self.get(f"/compare?a={long[0]}&b={long[1]}")[1].decode()
        self.assertIn("... 27 equal lines</span>", body)
        self.assertNotIn("more lines", body)
        self.assertEqual(self.get("/compare?a=x")[0].code, 400)
        self.assertEqual(self.get("/compare?a=x&b=y")[0].code, 404)
