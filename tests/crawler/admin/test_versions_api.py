from __future__ import annotations

import json

import pytest

from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow

ADDRESS = "http://www.example.com/cart"


class VersionsApiTests(ApiCase):
    def see(self, body: str, node: str = "n1", path: str = "/cart") -> str:
        self.farm.clock.advance(1)
        token = self.farm.nodes[node].capture(body.encode(), path)
        self.rig.take(token, {"SRV": node})
        return token

    def test_versions_of_an_address(self) -> None:
        tokens = [self.see("<p>one", "n1"), self.see("<p>one", "n2"), self.see("<p>two", "n2"), self.see("<p>one")]
        found = self.json(f"/api/versions?url={ADDRESS}")
        self.assertEqual([each["token"] for each in found["recordings"]], tokens[::-1])
        one, two = found["versions"]
        self.assertEqual((one["recordings"], one["nodes"], one["bytes"]), (3, ["n1", "n2"], 6))
        self.assertEqual((one["first_token"], one["last_token"]), (tokens[0], tokens[3]))
        self.assertEqual((two["recordings"], two["nodes"]), (1, ["n2"]))
        part = self.json(f"/api/versions?url={ADDRESS}&limit=1&after={found['recordings'] and ''}")
        self.assertIsNotNone(part["next"])
        for wrong in ("", "?url=", "?url=http:*", "?url=*cart*"):
            self.assertEqual(self.get(f"/api/versions{wrong}")[0].code, 400)

    def test_two_pages_are_compared(self) -> None:
        first, second = self.see("<h1>Cart</h1><p>1 apple<script>0</script>"), self.see("<h1>Cart</h1><p>2 apples")
        found = self.json(f"/api/compare?a={first}&b={second}")
        self.assertEqual((found["a"]["token"], found["b"]["token"], found["same"]), (first, second, False))
        changes = [(each["kind"], each["lines"]) for each in found["text"]["changes"]]
        self.assertEqual(changes, [("same", ["Cart"]), ("removed", ["1 apple"]), ("added", ["2 apples"])])
        self.assertEqual(found["source"]["changes"][0]["lines"], ["<h1>Cart</h1><p>1 apple<script>0</script>"])
        self.assertTrue(self.json(f"/api/compare?a={first}&b={first}")["same"])
        for query in (f"a={first}", f"a={first}&b=none", f"a={self.tokens[3]}&b={first}"):
            response, body = self.get(f"/api/compare?{query}")
            self.assertEqual((response.code, json.loads(body)["status"]), (404, 404))
