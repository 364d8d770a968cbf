"""The pages that the application of the demo served."""

from __future__ import annotations

from hashlib import sha256
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.demo.served_pages import ServedPage, ServedPages


class ServedPagesTests(SynchronousTestCase):
    def test_old_visits_are_forgotten(self):
        served_pages = ServedPages(limit=2)
        for visit in "abc":
            served_pages.add(visit, "n1", "GET", "/", 200, b"x")
        assert [len(served_pages.served(visit)) for visit in "abc"] == [0, 1, 1]

    def test_a_page_is_found_by_its_node(self):
        served_pages = ServedPages()
        served_pages.add("v", "n1", "GET", "/", 200, b"one")
        served_pages.add("v", "n2", "GET", "/", 200, b"two")
        assert cast("ServedPage", served_pages.page_of("v", "n1")).sha256 == sha256(b"one").hexdigest()
        assert served_pages.page_of("v", "n3") is None

    def test_a_visit_without_a_name_is_reported_but_not_kept(self):
        on_page = []
        served_pages = ServedPages(on_page=on_page.append)
        served_pages.add("", "n1", "GET", "/", 200, b"x")
        assert (len(on_page), served_pages.served("")) == (1, ())
