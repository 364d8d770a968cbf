"""Dialects from outside the tree that still have the old names work, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping

import pytest
from attrs import frozen

from lbcompanion import plugins
from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky import dialects
from lbcompanion.sticky.dialects import NodeFacts, Sample
from lbcompanion.sticky.dialects.shapes import AfterSeparator
from lbcompanion.sticky.reader import CookieReader

COOKIE = RoutingCookie("ROUTE", ".n1")


class Standalone:
    """No shape, and all names old."""

    name = "old-standalone"
    moves_visitor = True
    keyed = True
    cookie_names = ("OLD_ROUTE",)
    renamable = True
    held_back = ""
    samples: tuple[Sample, ...] = ()

    def read(self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()) -> object:
        return tuple(RoutingCookie(name, value) for name, value in cookies.items() if name in self.cookie_names)

    def recognises(self, name: str, value: str) -> bool:
        return name in self.cookie_names

    def reveal(self, cookie: RoutingCookie) -> str | None:
        return cookie.value

    def forge(self, node: NodeFacts, names: tuple[str, ...]) -> RoutingCookie | None:
        return RoutingCookie("OLD_ROUTE", node.name)

    def moved(self, sent: tuple[RoutingCookie, ...], set_cookies: tuple[str, ...]) -> bool | None:
        return True


STANDALONE = Standalone()
NOTHING_OF_A_DIALECT = object()


@pytest.fixture(autouse=True)
def _built_in_only() -> Iterator[None]:
    yield
    dialects.use_plugin_dialects(())


def old_shape() -> type[AfterSeparator]:
    @frozen(kw_only=True)
    class Old(AfterSeparator):
        held_back: str = "it is a test"
        renamable: bool = False

        def cut(self, name: str, value: str, allowed: bool) -> str | None:
            return super().cut(name, value.lower(), allowed)  # type: ignore[misc,no-any-return]

        def reveal(self, cookie: RoutingCookie) -> str | None:
            return f"node {super().reveal(cookie)}"  # type: ignore[misc]

    return Old


def test_a_shape_with_old_names_is_called_by_the_new_ones() -> None:
    with pytest.warns(DeprecationWarning, match="is now called") as caught:
        made = old_shape()
    assert {str(one.message).partition(": ")[2] for one in caught} == {
        "cut is now called reduce",
        "reveal is now called node_of",
        "held_back is now called never_record",
        "renamable is now called configurable_name",
    }
    with pytest.warns(DeprecationWarning, match="keyed is now called hash_keyed"):
        dialect = made(name="old", cookie_names=("ROUTE",), samples=(), keyed=True)  # type: ignore[call-arg]
    assert dialect.read({"ROUTE": "x.N1"}, ()) == (COOKIE,)
    assert dialect.node_of(COOKIE) == "node n1"
    assert (dialect.hash_keyed, dialect.keyed) == (True, True)
    assert (dialect.never_record, dialect.held_back) == ("it is a test", "it is a test")
    assert (dialect.configurable_name, dialect.renamable) == (False, False)


def test_a_shape_with_new_names_can_be_called_by_the_old_ones_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dialect = AfterSeparator(name="new", cookie_names=("ROUTE",), samples=())
        assert dialect.cut("ROUTE", "x.n1", False) == ".n1"  # type: ignore[attr-defined]
        assert dialect.reveal(COOKIE) == "n1"  # type: ignore[attr-defined]
        assert dialect.forge(NodeFacts("n1"), ()) == COOKIE  # type: ignore[attr-defined]


def test_a_plugin_with_old_names_is_loaded_and_used() -> None:
    with pytest.warns(DeprecationWarning, match="forge is now called compute"):
        (loaded,) = plugins.load_dialects([plugins.DialectPlugin(f"{__name__}.STANDALONE")])
    reader = CookieReader(StickyTable(dialect="old-standalone"))
    assert reader.compute(NodeFacts("n2")) == (RoutingCookie("OLD_ROUTE", "n2"),)
    assert reader.detects_move((RoutingCookie("OLD_ROUTE", "n1"),), ()) is True
    assert reader.replay_is_hash_keyed([("OLD_ROUTE", "n1")])
    assert loaded.node_of(RoutingCookie("OLD_ROUTE", "n1")) == "n1"


def test_what_is_no_dialect_is_refused_as_before() -> None:
    with pytest.raises(plugins.ConfigError, match="no dialect"):
        plugins.load_dialects([plugins.DialectPlugin(f"{__name__}.NOTHING_OF_A_DIALECT")])
