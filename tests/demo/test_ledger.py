"""The ledger of the demo's application."""

from __future__ import annotations

from hashlib import sha256
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.demo.ledger import Ledger, Served


class LedgerTests(SynchronousTestCase):
    def test_old_visits_are_forgotten(self):
        ledger = Ledger(limit=2)
        for visit in "abc":
            ledger.enter(visit, "n1", "GET", "/", 200, b"x")
        assert [len(ledger.served(visit)) for visit in "abc"] == [0, 1, 1]

    def test_a_page_is_found_by_its_node(self):
        ledger = Ledger()
        ledger.enter("v", "n1", "GET", "/", 200, b"one")
        ledger.enter("v", "n2", "GET", "/", 200, b"two")
        assert cast("Served", ledger.page_of("v", "n1")).sha256 == sha256(b"one").hexdigest()
        assert ledger.page_of("v", "n3") is None

    def test_a_visit_without_a_name_is_told_but_not_kept(self):
        told = []
        ledger = Ledger(told=told.append)
        ledger.enter("", "n1", "GET", "/", 200, b"x")
        assert (len(told), ledger.served("")) == (1, ())
