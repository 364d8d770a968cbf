from __future__ import annotations

import pytest
from sqlalchemy import select

from lbcompanion.crawler.queue.erasures import Erasures, Selection
from lbcompanion.crawler.queue.schema import RECORDINGS
from tests.support.crawler_api import ApiCase

pytestmark = pytest.mark.slow


POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


class RecordingsApiTests(ApiCase):
    def test_listing(self) -> None:
        first = self.json("/api/recordings?limit=3")
        self.assertEqual([each["token"] for each in first["recordings"]], self.tokens[:0:-1])
        rest = self.json(f"/api/recordings?limit=3&after={first['next']}")
        self.assertEqual([each["token"] for each in rest["recordings"]], self.tokens[:1])
        self.assertIsNone(rest["next"])
        lost = self.json("/api/recordings?outcome=lost")["recordings"]
        self.assertEqual([(each["token"], each["reason"]) for each in lost], [(self.tokens[3], "expired")])
        self.assertEqual(len(self.json("/api/recordings?outcome=archived&node=n2")["recordings"]), 1)

    def test_pages_in_both_directions(self) -> None:
        first = self.json("/api/recordings?limit=2")
        second = self.json(f"/api/recordings?limit=2&after={first['next']}")
        self.assertEqual((first["previous"], second["next"], second["searched_to"]), (None, None, None))
        self.assertEqual(self.json(f"/api/recordings?limit=2&before={second['previous']}"), first)

    def test_the_title_and_what_is_left_of_it_after_an_erasure(self) -> None:
        token = self.farm.nodes["n1"].capture("<title>Ein \n Größe &amp;c</title>".encode())
        self.rig.take(token, {"SRV": "n1"})
        found = self.json("/api/recordings?title=GR%C3%96SSE")["recordings"]
        self.assertEqual([(each["token"], each["title"]) for each in found], [(token, "Ein Größe &c")])
        erasures = Erasures(self.rig.database)
        selection = Selection(tokens=(token,))
        erasures.erase(erasures.begin(selection, "api", 1.0), selection, 1.0)
        self.assertEqual(self.json("/api/recordings?title=GR%C3%96SSE")["recordings"], [])
        with self.rig.database.read() as connection:
            row = connection.execute(select(RECORDINGS).where(RECORDINGS.c.token == token)).one()
        self.assertEqual((row.title, row.title_key, row.status, row.method, row.url_key), (None, None, None, None, ""))

    def test_filters(self) -> None:
        for query, numbers in (
            ("url=*%253C1%253E*", [1]),
            ("status=200&method=GET", [2, 1, 0]),
            ("status=404", []),
            ("site=main&reason=exp*", [3]),
            ("from=2001-01-01&to=2001-01-02", []),
            ("title=page", []),
        ):
            found = [each["token"] for each in self.json(f"/api/recordings?{query}")["recordings"]]
            self.assertEqual(found, [self.tokens[number] for number in numbers], query)

    def test_wrong_questions(self) -> None:
        for path, status in (
            ("/api/recordings?limit=x", 400),
            ("/api/recordings?outcome=maybe", 400),
            ("/api/recordings?after=3", 400),
            (f"/api/recordings?before={'M' * 9000}", 400),
            ("/api/recordings?url=*cart", 400),
            ("/api/recordings?title=%00", 400),
            ("/api/recordings?node=n%001", 400),
            ("/api/recordings?visitor=%1F", 400),
            ("/recordings?route=a%0A", 400),
            ("/api/recordings/none", 404),
            (f"/api/recordings/{'n' * 5000}", 404),
            ("/api/recordings/none/page", 404),
            (f"/api/recordings/{self.tokens[3]}/page", 404),
            ("/nothing", 404),
        ):
            self.assertEqual(self.get(path)[0].code, status, path)
        self.assertEqual(self.get("/api/stats", "POST")[0].code, 405)

    def test_the_page_is_locked_up(self) -> None:
        response, body = self.get(f"/api/recordings/{self.tokens[0]}/page")
        self.assertEqual(body, b"<script>0</script>")
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["text/html; charset=utf-8"])
        self.assertEqual(response.headers.getRawHeaders("content-security-policy"), [POLICY])
        self.assertEqual(response.headers.getRawHeaders("x-content-type-options"), ["nosniff"])
