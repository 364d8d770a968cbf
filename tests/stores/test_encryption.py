from __future__ import annotations

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.errors import StoreError
from lbcompanion.model import Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.encryption import EncryptedStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import ManualWallClock, make_page, page_store_contract
from tests.support.open_store import KEY, a_folder, open_sealed, sqlite_at
from tests.support.store_machine import run_store_machine

#: A nonce and a tag.
OVERHEAD_BYTES = 12 + 16

TestSealedMemoryStore = page_store_contract("TestSealedMemoryStore", open_sealed, OVERHEAD_BYTES)


@pytest.mark.slow
def test_any_order_of_calls() -> None:
    run_store_machine(lambda table, clock: EncryptedStore(MemoryStore(table, clock), KEY), OVERHEAD_BYTES)


class TestSealing(SynchronousTestCase):
    def setUp(self) -> None:
        self.inner = MemoryStore(StoreTable(), ManualWallClock())
        self.store = EncryptedStore(self.inner, KEY)
        head = b"HTTP/1.1 200 OK\r\nLocation: /accounts/4711\r\n\r\n"
        self.page = evolve(make_page("a", b"<p>my account number is 4711</p>"), head=head)
        self.successResultOf(self.store.put(self.page))

    def inside(self) -> Page:
        found = self.successResultOf(self.inner.peek("a"))
        assert isinstance(found, Page)
        return found

    def fails(self, token: str = "a") -> str:
        failure = self.failureResultOf(self.store.peek(token), StoreError)
        return str(failure.value)

    def test_nothing_of_it_is_plain_inside(self) -> None:
        held = self.inside()
        assert b"4711" not in held.body + held.head
        assert b"Location" not in held.head
        assert "example" not in held.url
        # A digest of the plain body would confirm a guess, and equal digests would show equal pages.
        other = evolve(self.page, token="b")
        self.successResultOf(self.store.put(other))
        digests = {self.page.sha256, held.sha256, self.successResultOf(self.inner.peek("b")).sha256}
        assert len(digests) == 3
        assert {len(digest) for digest in digests} == {32}

    def test_the_url_alone_is_opened(self) -> None:
        assert self.successResultOf(self.store.url_of("a")) == self.page.url
        assert self.successResultOf(self.store.url_of("b")) == ""
        other = EncryptedStore(self.inner, b"another key of a fair length")
        self.failureResultOf(other.url_of("a"), StoreError)

    def test_a_copy_that_an_earlier_version_sealed_is_opened(self) -> None:
        """It has the digest of the plain body."""
        self.successResultOf(self.inner.put(evolve(self.inside(), sha256=self.page.sha256)))
        assert self.successResultOf(self.store.peek("a")) == self.page

    def test_no_two_sealings_are_alike(self) -> None:
        first = self.inside()
        self.successResultOf(self.store.put(self.page))
        assert self.inside().body != first.body

    def test_another_key_opens_nothing(self) -> None:
        other = EncryptedStore(self.inner, b"another key of a fair length")
        self.failureResultOf(other.peek("a"), StoreError)

    def test_an_altered_bit_opens_nothing(self) -> None:
        held = self.inside()
        for at in (0, 12, len(held.body) - 1):
            altered = bytearray(held.body)
            altered[at] ^= 1
            self.successResultOf(self.inner.put(evolve(held, body=bytes(altered))))
            self.fails()

    def test_an_altered_head_opens_nothing(self) -> None:
        held = self.inside()
        for head in (held.head[:-1], held.body, b"x", self.page.head):
            self.successResultOf(self.inner.put(evolve(held, head=head)))
            self.fails()

    def test_a_copy_without_a_head_has_none_inside_either(self) -> None:
        self.successResultOf(self.store.put(evolve(self.page, head=b"")))
        assert self.inside().head == b""

    def test_a_copy_is_no_other_copy(self) -> None:
        self.successResultOf(self.inner.put(evolve(self.inside(), token="b")))
        self.fails("b")

    def test_an_unsealed_copy_is_not_believed(self) -> None:
        self.successResultOf(self.inner.put(make_page("b", b"")))
        assert "example" not in self.fails("b")

    def test_any_address_comes_back(self) -> None:
        page = evolve(self.page, url="https://x/\udcff\ud800")
        self.successResultOf(self.store.put(page))
        assert self.successResultOf(self.store.take("a")) == page

    @pytest.mark.slow
    def test_the_file_of_a_database_holds_nothing_plain(self) -> None:
        folder = a_folder(self)
        store = EncryptedStore(sqlite_at(folder / "pages.db", StoreTable(), ManualWallClock()), KEY)
        self.successResultOf(store.put(self.page))
        content = b"".join(path.read_bytes() for path in folder.iterdir())
        self.successResultOf(store.close())
        assert b"windows-1252" in content
        assert b"4711" not in content
        assert b"example" not in content
