from __future__ import annotations

import pytest
import treq
from twisted.internet.task import Clock

from lbcompanion.protocol.visitors import visitor_pseudonyms
from tests.support.crawler_api import BASE, ErasingCase
from tests.support.simulated_farm import SECRET

pytestmark = pytest.mark.slow

SAME = {"Origin": BASE}


class ErasePagesTests(ErasingCase):
    def answer(self, path: str, **headers: str) -> tuple[int, str]:
        response = self.successResultOf(self.http.post(BASE + path, reactor=Clock(), data=b"", headers=headers))
        return response.code, self.successResultOf(treq.content(response)).decode()

    def test_a_question_comes_first(self) -> None:
        token = self.tokens[0]
        self.assertIn("Erase this recording?", self.get(f"/recording/{token}/erase")[1].decode())
        self.assertEqual(self.get(f"/api/recordings/{token}")[0].code, 200)
        code, body = self.answer(f"/recording/{token}/erase", **SAME)
        self.assertEqual(code, 200)
        self.assertIn("Recordings erased: 1. Records removed from the archive: 1.", body)
        self.assertEqual(self.get(f"/api/recordings/{token}")[0].code, 404)
        self.assertEqual(self.get(f"/recording/{token}/erase")[0].code, 404)

    def test_it_is_said_which_of_many_recordings_is_erased(self) -> None:
        (visitor,) = visitor_pseudonyms(SECRET, "alice")
        token = self.farm.nodes["n2"].capture(b"x")
        self.rig.take(token, visitor=visitor)
        asked = self.get(f"/recording/{token}/erase")[1].decode()
        self.assertRegex(asked, rf"(?s)seen <time.*by the visitor <a[^>]*>{visitor}</a>, made by node n2,\s+will be")
        _code, body = self.answer(f"/recording/{token}/erase", **SAME)
        self.assertIn(f'href="/recordings?visitor={visitor}"', body)

    def test_another_site_erases_nothing(self) -> None:
        token = self.tokens[0]
        for headers in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            self.assertEqual(self.answer(f"/recording/{token}/erase", **headers)[0], 403, headers)
        self.assertEqual(self.get(f"/api/recordings/{token}")[0].code, 200)

    def test_all_of_a_visitor(self) -> None:
        (visitor,) = visitor_pseudonyms(SECRET, "alice")
        tokens = [self.farm.nodes["n1"].capture(b"x%d" % number) for number in range(2)]
        for token in tokens:
            self.rig.take(token, visitor=visitor)
        path = f"/recording/{tokens[0]}/erase-visitor"
        self.assertIn("Erase 2 recordings?", self.get(path)[1].decode())
        self.assertEqual(self.answer(path, **SAME)[0], 200)
        self.assertEqual([self.get(f"/api/recordings/{token}")[0].code for token in tokens], [404, 404])
        self.assertEqual(self.get(f"/api/recordings/{self.tokens[0]}")[0].code, 200)
        self.assertEqual(self.get(f"/recording/{self.tokens[0]}/erase-visitor")[0].code, 404)
