"""TOML -> :mod:`lbcompanion.settings`: reads a file, checks every value, and says all that is wrong at once.

What each key may be stands in :mod:`lbcompanion.config.tables`; how one value is checked, in
:mod:`lbcompanion.checks`; the defaults, in the settings themselves. No port is opened here.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import fields_dict

from lbcompanion import checks
from lbcompanion.checks import Check
from lbcompanion.config import tables
from lbcompanion.config.tables import Table
from lbcompanion.errors import ConfigError, ConfigErrors, InvalidValue
from lbcompanion.settings import (
    CaptureTable,
    CrawlerSettings,
    CrawlerTable,
    FetchTable,
    InjectTable,
    KnownNode,
    LimitsTable,
    NodeSettings,
    NodeTable,
    SiteSettings,
    StickyTable,
    StoreTable,
    ToCrawlerTable,
)

Given = Mapping[str, Any]

#: Defaults which, like what is written, start at the file's folder.
_FROM_FOLDER = ("state_dir", "archive_dir", "queue")
_SITE_NAME = "names of letters, digits, _ or -, 32 at most"


def read_node(path: str | Path) -> NodeSettings:
    """Read a node's file.

    :raises ConfigError: where it cannot be used; :class:`lbcompanion.errors.ConfigErrors` where several things are
        wrong.
    """
    reading = _Reading(str(path))
    return _node(reading)


def read_crawler(path: str | Path) -> CrawlerSettings:
    """Read a crawler's file.

    :raises ConfigError: as :func:`read_node` does.
    """
    reading = _Reading(str(path))
    return _crawler(reading)


def read_any(path: str | Path) -> NodeSettings | CrawlerSettings:
    """Read a file of either kind: one with ``[node]`` is a node's, one with ``[sites.NAME]`` a crawler's.

    :raises ConfigError: as :func:`read_node` does, and where the file is of neither kind.
    """
    reading = _Reading(str(path))
    if "node" in reading.given:
        return _node(reading)
    if "sites" in reading.given:
        return _crawler(reading)
    raise ConfigError(reading.file, "", "of neither kind", "[node] for a companion, [sites.NAME] for a crawler")


class _Reading:
    """One file being read: its tables, its folder, and what was found wrong so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.folder = Path(file).absolute().parent
        self.wrong: list[ConfigError] = []
        self.given = self._load()

    def _load(self) -> dict[str, Any]:
        try:
            return tomllib.loads(Path(self.file).read_text(encoding="utf-8"))
        except OSError as error:
            why = f"not readable ({error.strerror})"
        except UnicodeDecodeError:
            why = "not UTF-8"
        except tomllib.TOMLDecodeError as error:
            why = f"no TOML ({error})"
        raise ConfigError(self.file, "", why, "a TOML file")

    def note(self, key: str, value: str, right: str) -> None:
        """Remember that something is wrong."""
        self.wrong.append(ConfigError(self.file, key, value, right))

    def only(self, dotted: str, given: Iterable[str], known: Collection[str]) -> None:
        """Note every key that there is not, with the one that was probably meant."""
        for key in given:
            if key not in known:
                near = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {near[0]}? " if near else ""
                names = ", ".join(known)
                self.note(f"{dotted}.{key}" if dotted else key, "no known key", f"{hint}one of {names}")

    def subtable(self, given: Given, dotted: str) -> Given:
        """A table within another; empty where it is missing or is no table, which is noted."""
        found = given.get(dotted.rpartition(".")[2], {})
        if isinstance(found, dict):
            return found
        self.note(dotted, checks.show(found), f"a table, [{dotted}]")
        return {}

    def one(self, key: str, check: Check, value: object) -> Any:
        """A checked value; None where it is wrong, which is noted."""
        try:
            return check(value, self.folder)
        except InvalidValue as error:
            key = f"{key}.{error.below}" if error.below else key
            self.note(key, "missing" if value is None else error.shown or checks.show(value), error.allowed)
            return None

    def table(
        self, cls: type, given: Given, dotted: str, checks: Table, required: Iterable[str] = ()
    ) -> dict[str, Any]:
        """The checked values of a table: those given, and the defaults that depend on the file's folder."""
        self.only(dotted, given, list(checks))
        for key in required:
            if key not in given:
                self.one(f"{dotted}.{key}", checks[key], None)
        raw = dict(given)
        for key in _FROM_FOLDER:
            if key in checks:
                raw.setdefault(key, str(fields_dict(cls)[key].default))
        return {key: self.one(f"{dotted}.{key}", check, raw[key]) for key, check in checks.items() if key in raw}

    def secret(self, values: dict[str, Any], dotted: str) -> None:
        """Read the secret that ``secret_file`` names and put it beside it."""
        if where := values.get("secret_file"):
            values["secret"] = self.one(
                f"{dotted}.secret_file", lambda value, folder: checks.secret_of(where), str(where)
            )

    def done(self) -> None:
        """Stop here where anything was wrong.

        :raises ConfigError: that is when.
        """
        if len(self.wrong) == 1:
            raise self.wrong[0]
        if self.wrong:
            raise ConfigErrors(self.wrong)


def _node(reading: _Reading) -> NodeSettings:
    given = reading.given
    reading.only("", given, [*tables.NODE, "peers"])
    classes: dict[str, type] = {
        "node": NodeTable,
        "capture": CaptureTable,
        "inject": InjectTable,
        "store": StoreTable,
        "sticky": StickyTable,
        "fetch": FetchTable,
        "crawler": ToCrawlerTable,
        "limits": LimitsTable,
    }
    required = {"node": ("name", "listen", "upstream", "secret_file")}
    values = {
        name: reading.table(cls, reading.subtable(given, name), name, tables.NODE[name], required.get(name, ()))
        for name, cls in classes.items()
    }
    peers = reading.one("peers", tables.PEERS, reading.subtable(given, "peers"))
    reading.secret(values["node"], "node")
    _snippets(values["inject"])
    _one_anchor_each(reading, values["inject"])
    _node_as_a_whole(reading, values)
    reading.done()
    made = {name: cls(**values[name]) for name, cls in classes.items()}
    return NodeSettings(**made, peers=peers)


def _snippets(inject: dict[str, Any]) -> None:
    for place in ("top", "bottom"):
        if where := inject.get(f"{place}_file"):
            inject[place] = where.read_bytes()


def _one_anchor_each(reading: _Reading, inject: Given) -> None:
    for place in ("top", "bottom"):
        if inject.get(f"{place}_after") and inject.get(f"{place}_before"):
            reading.note(f"inject.{place}_before", "set", f"empty where {place}_after is set")


def _node_as_a_whole(reading: _Reading, values: Mapping[str, Given]) -> None:
    """Rules that join several keys."""
    fetch = values["fetch"]
    if fetch.get("signature") == "off" and not fetch.get("addresses"):
        reading.note("fetch.signature", '"off"', '"required", or "off" with fetch.addresses set')
    _only_generic_is_described(reading, values["sticky"], "sticky")
    name = values["node"].get("name")
    if name is not None and name in reading.subtable(reading.given, "peers"):
        reading.note(f"peers.{name}", "this node itself", "other nodes")


def _only_generic_is_described(reading: _Reading, sticky: Given, dotted: str) -> None:
    generic = sticky.get("dialect", "auto") == "generic"
    if generic and not sticky.get("cookies"):
        reading.note(f"{dotted}.cookies", "empty", 'one or more names, where dialect is "generic"')
    for key, unset in (("part", "whole"), ("replay_safe", False)):
        if not generic and sticky.get(key, unset) not in (unset, None):
            reading.note(f"{dotted}.{key}", checks.show(sticky[key]), 'set only where dialect is "generic"')


def _crawler(reading: _Reading) -> CrawlerSettings:
    given = reading.given
    reading.only("", given, ["crawler", "sites"])
    table = reading.subtable(given, "crawler")
    values = reading.table(CrawlerTable, table, "crawler", tables.CRAWLER, ("secret_file",))
    reading.secret(values, "crawler")
    sites = reading.subtable(given, "sites")
    if not sites:
        reading.note("sites", "missing", "one or more tables [sites.NAME]")
    made = {name: _site(reading, sites, name) for name in sites}
    reading.done()
    return CrawlerSettings(CrawlerTable(**values), {name: site for name, site in made.items() if site})


def _site(reading: _Reading, sites: Given, name: str) -> SiteSettings | None:
    dotted = f"sites.{name}"
    if not checks.is_node_name(name):
        reading.note(dotted, "no such name", _SITE_NAME)
        return None
    given = dict(reading.subtable({name: sites[name]}, dotted))
    nodes = reading.subtable(given, f"{dotted}.nodes")
    given.pop("nodes", None)
    before = len(reading.wrong)
    values = reading.table(SiteSettings, given, dotted, tables.SITE, ("origin",))
    _only_generic_is_described(reading, values, dotted)
    known = {node: _known_node(reading, nodes, f"{dotted}.nodes", node) for node in nodes}
    if len(reading.wrong) > before:
        return None
    sticky = {key: values.pop(key) for key in tables.STICKY if key in values}
    return SiteSettings(name=name, nodes=known, sticky=StickyTable(**sticky), **values)


def _known_node(reading: _Reading, nodes: Given, above: str, name: str) -> KnownNode:
    dotted = f"{above}.{name}"
    if not checks.is_node_name(name):
        reading.note(dotted, "no node name", tables.NAME_ALLOWED)
        return KnownNode()
    values = reading.table(KnownNode, reading.subtable(nodes, dotted), dotted, tables.KNOWN_NODE)
    return KnownNode(**{key: value for key, value in values.items() if value is not None})
