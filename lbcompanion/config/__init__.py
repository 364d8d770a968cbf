"""Reads a TOML file into :mod:`lbcompanion.settings`: checks every value, and reports all errors at once.

:mod:`lbcompanion.config.tables` has the allowed values of each key, :mod:`lbcompanion.checks` the checks of single
values, and the settings have the defaults. No port is opened here.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import fields_dict

from lbcompanion import checks
from lbcompanion.checks import Check
from lbcompanion.config import access_checks, file_checks, listener_checks, tables
from lbcompanion.config.tables import Table
from lbcompanion.endpoints.strings import parse
from lbcompanion.errors import ConfigError, ConfigErrors, InvalidValue
from lbcompanion.protocol.secrets import FarmSecret, accepted_secrets
from lbcompanion.settings import (
    CaptureTable,
    CrawlerFetchTable,
    CrawlerSettings,
    CrawlerTable,
    FetchTable,
    InjectTable,
    KnownNode,
    LimitsTable,
    NodeCrawlerTable,
    NodeSettings,
    NodeTable,
    OutcomesTable,
    RequisitesTable,
    SiteSettings,
    StickyTable,
    StoreTable,
    WebhookSettings,
)

ParsedTable = Mapping[str, Any]

#: Keys whose relative defaults start at the file's folder, like values in the file.
_FOLDER_RELATIVE_KEYS = ("state_dir", "archive_dir", "queue")
_SITE_NAME = "names of letters, digits, _ or -, 32 at most"


def read_node(path: str | Path) -> NodeSettings:
    """Read a node's file.

    :raises ConfigError: if the file cannot be used; :class:`lbcompanion.errors.ConfigErrors` for several errors.
    """
    reader = _ConfigReader(str(path))
    if "node" not in reader.parsed and "sites" in reader.parsed:
        raise ConfigError(reader.file, "", "a crawler's file, with [sites.NAME]", "a companion's file, with [node]")
    return _node(reader)


def read_crawler(path: str | Path) -> CrawlerSettings:
    """Read a crawler's file.

    :raises ConfigError: as :func:`read_node` does.
    """
    reader = _ConfigReader(str(path))
    if "sites" not in reader.parsed and "node" in reader.parsed:
        raise ConfigError(reader.file, "", "a companion's file, with [node]", "a crawler's file, with [sites.NAME]")
    return _crawler(reader)


def read_any(path: str | Path) -> NodeSettings | CrawlerSettings:
    """Read a file of either kind: one with ``[node]`` is a node's, one with ``[sites.NAME]`` a crawler's.

    :raises ConfigError: as :func:`read_node` does, and if the file is of neither kind.
    """
    reader = _ConfigReader(str(path))
    if "node" in reader.parsed:
        return _node(reader)
    if "sites" in reader.parsed:
        return _crawler(reader)
    raise ConfigError(reader.file, "", "of neither kind", "[node] for a companion, [sites.NAME] for a crawler")


def warnings(settings: NodeSettings | CrawlerSettings) -> list[tuple[str, str]]:
    """Problems that an operator should solve, though the file can be used: the key, and a description."""
    if isinstance(settings, CrawlerSettings):
        found = access_checks.access_warnings(settings.crawler) + file_checks.secret_file_warnings(
            {"crawler.secret_file": settings.crawler.secret_file}
            | _accepted("crawler", settings.crawler.accept_secret_files)
            | {f"webhooks.{name}.secret_file": each.secret_file for name, each in settings.webhooks.items()}
            | _private_keys({"crawler.listen": (settings.crawler.listen,), "crawler.admin": (settings.crawler.admin,)})
            | _private_keys({"crawler.replay_scripts": (settings.crawler.replay_scripts,)})
            | dict.fromkeys(_secret_keys(settings), settings.file)
        )
        why = "http: it can be read on the way; use https, except to this machine"
        plain = [
            name
            for name, each in settings.webhooks.items()
            if each.url.startswith("http:") and not access_checks.is_loopback_name(urlsplit(each.url).hostname or "")
        ]
        return [*found, *((f"webhooks.{name}.url", why) for name in plain)]
    node = settings.node
    return file_checks.secret_file_warnings(
        {"node.secret_file": node.secret_file, "store.encryption_key_file": settings.store.encryption_key_file}
        | _accepted("node", node.accept_secret_files)
        | _private_keys({"node.listen": node.listen, "node.admin": (node.admin,), "node.upstream": (node.upstream,)})
        | ({"store.url": settings.file} if checks.has_password(settings.store.url) else {})
    )


def _secret_keys(settings: CrawlerSettings) -> Iterator[str]:
    """The keys whose values are secrets in the file itself."""
    if checks.has_password(settings.crawler.queue):
        yield "crawler.queue"
    yield from (f"sites.{name}.key" for name, site in settings.sites.items() if site.key)


def _accepted(table: str, files: Iterable[Path]) -> dict[str, Path | None]:
    return {f"{table}.accept_secret_files[{index}]": file for index, file in enumerate(files)}


def _private_keys(endpoints: Mapping[str, Iterable[str]]) -> dict[str, Path | None]:
    found: dict[str, Path | None] = {}
    for key, texts in endpoints.items():
        for text in texts:
            if file := parse(text).options.get("privateKey"):
                found[key] = Path(file)
    return found


class _ConfigReader:
    """Reads one file, and collects its errors.

    :ivar parsed: the parsed TOML.
    :ivar folder: the file's folder, where relative paths start.
    :ivar errors: the errors found so far.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self.folder = Path(file).absolute().parent
        self.errors: list[ConfigError] = []
        self.parsed = self._load()

    def _load(self) -> dict[str, Any]:
        try:
            return tomllib.loads(Path(self.file).read_text(encoding="utf-8"))
        except OSError as error:
            why = f"not readable ({error.strerror})"
        except UnicodeDecodeError:
            why = "not UTF-8"
        except tomllib.TOMLDecodeError as error:
            why = f"not TOML ({error})"
        raise ConfigError(self.file, "", why, "a TOML file")

    def add_error(self, key: str, value: str, allowed: str) -> None:
        """Add an error."""
        self.errors.append(ConfigError(self.file, key, value, allowed))

    def check_known_keys(self, dotted: str, parsed: Iterable[str], known: Collection[str]) -> None:
        """Add an error for every unknown key, and suggest a similar one."""
        for key in parsed:
            if key not in known:
                similar = difflib.get_close_matches(key, known, 1)
                hint = f"did you mean {similar[0]}? " if similar else ""
                names = ", ".join(known)
                self.add_error(f"{dotted}.{key}" if dotted else key, "no known key", f"{hint}one of {names}")

    def subtable(self, parsed: ParsedTable, dotted: str) -> ParsedTable:
        """Return a table within another; empty if it is missing. If it is not a table, add an error."""
        subtable_value = parsed.get(dotted.rpartition(".")[2], {})
        if isinstance(subtable_value, dict):
            return subtable_value
        self.add_error(dotted, checks.format_value(subtable_value), f"a table, [{dotted}]")
        return {}

    def check_value(self, key: str, check: Check, value: object) -> Any:
        """Return the checked value. If it is not allowed, add an error and return None."""
        try:
            return check(value, self.folder)
        except InvalidValue as error:
            key = f"{key}.{error.subkey}" if error.subkey else key
            self.add_error(
                key, "missing" if value is None else error.shown_value or checks.format_value(value), error.allowed
            )
            return None

    def table(
        self, cls: type, parsed: ParsedTable, dotted: str, checks: Table, required: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Return the checked values of a table, and the defaults that depend on the file's folder."""
        self.check_known_keys(dotted, parsed, list(checks))
        for key in required:
            if key not in parsed:
                self.check_value(f"{dotted}.{key}", checks[key], None)
        raw = dict(parsed)
        for key in _FOLDER_RELATIVE_KEYS:
            if key in checks:
                raw.setdefault(key, str(fields_dict(cls)[key].default))
        return {
            key: self.check_value(f"{dotted}.{key}", check, raw[key]) for key, check in checks.items() if key in raw
        }

    def read_secret(self, values: dict[str, Any], dotted: str) -> None:
        """Read the files ``secret_file`` and ``accept_secret_files`` into the value ``secret``."""
        also_accepted = [
            self.check_value(f"{dotted}.accept_secret_files[{index}]", _secret_in(file), str(file))
            for index, file in enumerate(values.get("accept_secret_files") or ())
        ]
        if file := values.get("secret_file"):
            secret = self.check_value(f"{dotted}.secret_file", _secret_in(file), str(file))
            if secret is not None and None not in also_accepted:
                values["secret"] = FarmSecret(secret, also_accepted)

    def raise_errors(self) -> None:
        """Raise the errors, if there are any.

        :raises ConfigError: if there are errors.
        """
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise ConfigErrors(self.errors)


def _secret_in(file: Path) -> Check:
    return lambda value, folder: checks.read_secret(file)


def _node(reader: _ConfigReader) -> NodeSettings:
    parsed = reader.parsed
    reader.check_known_keys("", parsed, [*tables.NODE, "peers"])
    classes: dict[str, type] = {
        "node": NodeTable,
        "capture": CaptureTable,
        "inject": InjectTable,
        "store": StoreTable,
        "sticky": StickyTable,
        "fetch": FetchTable,
        "crawler": NodeCrawlerTable,
        "limits": LimitsTable,
    }
    required = {"node": ("name", "listen", "upstream", "secret_file")}
    values = {
        name: reader.table(cls, reader.subtable(parsed, name), name, tables.NODE[name], required.get(name, ()))
        for name, cls in classes.items()
    }
    peers = reader.check_value("peers", tables.PEERS, reader.subtable(parsed, "peers"))
    reader.read_secret(values["node"], "node")
    _read_snippets(values["inject"])
    _check_anchors(reader, values["inject"])
    _check_node(reader, values)
    reader.raise_errors()
    built = {name: cls(**values[name]) for name, cls in classes.items()}
    return NodeSettings(**built, peers=peers, file=Path(reader.file))


def _read_snippets(inject: dict[str, Any]) -> None:
    for place in ("top", "bottom"):
        if file := inject.get(f"{place}_file"):
            inject[place] = file.read_bytes()


def _check_anchors(reader: _ConfigReader, inject: ParsedTable) -> None:
    for place in ("top", "bottom"):
        if inject.get(f"{place}_after") and inject.get(f"{place}_before"):
            reader.add_error(f"inject.{place}_before", "set", f"empty where {place}_after is set")


def _check_node(reader: _ConfigReader, values: Mapping[str, ParsedTable]) -> None:
    """Check the rules about several keys."""
    fetch = values["fetch"]
    if fetch.get("signature") == "off" and not fetch.get("addresses"):
        reader.add_error("fetch.signature", '"off"', '"required", or "off" with fetch.addresses set')
    capture = values["capture"]
    if capture.get("consent_values") and not capture.get("consent_cookie"):
        reader.add_error("capture.consent_values", "set", "empty, or with capture.consent_cookie")
    _check_generic_keys(reader, values["sticky"], "sticky")
    _check_places(reader, values["node"])
    name = values["node"].get("name")
    if name is not None and name in reader.subtable(reader.parsed, "peers"):
        reader.add_error(f"peers.{name}", "this node itself", "other nodes")


def _check_places(reader: _ConfigReader, node: ParsedTable) -> None:
    admin = node["admin"] if "admin" in node else fields_dict(NodeTable)["admin"].default
    listeners = [("node.listen", text) for text in node.get("listen") or ()]
    if admin:
        listeners.append(("node.admin", admin))
    listener_checks.check_listeners(listeners, reader.add_error)
    if node.get("upstream"):
        listener_checks.check_upstream(node["upstream"], listeners, reader.add_error)


def _check_generic_keys(reader: _ConfigReader, sticky: ParsedTable, dotted: str) -> None:
    generic = sticky.get("dialect", "auto") == "generic"
    if generic and not sticky.get("cookies"):
        reader.add_error(f"{dotted}.cookies", "empty", 'one or more names, where dialect is "generic"')
    for key, unset in (("part", "whole"), ("replay_safe", False)):
        if not generic and sticky.get(key, unset) not in (unset, None):
            reader.add_error(f"{dotted}.{key}", checks.format_value(sticky[key]), 'set only where dialect is "generic"')


def _crawler(reader: _ConfigReader) -> CrawlerSettings:
    parsed = reader.parsed
    reader.check_known_keys("", parsed, ["crawler", "sites", "fetch", "requisites", "outcomes", "webhooks"])
    table = reader.subtable(parsed, "crawler")
    values = reader.table(CrawlerTable, _with_archive_dir(table), "crawler", tables.CRAWLER, ("secret_file",))
    _use_file_url(reader, table, values)
    reader.read_secret(values, "crawler")
    fetch = reader.table(CrawlerFetchTable, reader.subtable(parsed, "fetch"), "fetch", tables.CRAWLER_FETCH)
    requisites = reader.table(RequisitesTable, reader.subtable(parsed, "requisites"), "requisites", tables.REQUISITES)
    outcomes = reader.table(OutcomesTable, reader.subtable(parsed, "outcomes"), "outcomes", tables.OUTCOMES)
    defaults = fields_dict(CrawlerTable)
    listeners = [
        (f"crawler.{key}", values.get(key, defaults[key].default)) for key in ("listen", "admin", "replay_scripts")
    ]
    listener_checks.check_listeners([(key, text) for key, text in listeners if text], reader.add_error)
    access_checks.check_access(values, dict(listeners)["crawler.admin"] or "", reader.add_error)
    sites = reader.subtable(parsed, "sites")
    if not sites:
        reader.add_error("sites", "missing", "one or more tables [sites.NAME]")
    built = {name: _site(reader, sites, name) for name in sites}
    webhooks = _webhooks(reader, values.get("secret"), built)
    reader.raise_errors()
    found = {name: site for name, site in built.items() if site}
    return CrawlerSettings(
        CrawlerTable(**values),
        found,
        CrawlerFetchTable(**fetch),
        RequisitesTable(**requisites),
        OutcomesTable(**outcomes),
        webhooks,
        Path(reader.file),
    )


def _webhooks(reader: _ConfigReader, farm: bytes | None, sites: Collection[str]) -> dict[str, WebhookSettings]:
    parsed = reader.subtable(reader.parsed, "webhooks")
    found: dict[str, WebhookSettings] = {}
    for name in parsed:
        dotted = f"webhooks.{name}"
        if not checks.is_node_name(name):
            reader.add_error(dotted, "no such name", _SITE_NAME)
            continue
        before = len(reader.errors)
        table = reader.subtable(parsed, dotted)
        values = reader.table(WebhookSettings, table, dotted, tables.WEBHOOK, ("url", "secret_file"))
        reader.read_secret(values, dotted)
        if farm is not None and values.get("secret") in accepted_secrets(farm):
            # With the farm's secret the receiver could request copies and deliver notices.
            reader.add_error(f"{dotted}.secret_file", "the farm's secret", "a file with a secret of its own")
        for site in set(values.get("sites") or ()) - set(sites):
            reader.add_error(f"{dotted}.sites", f'"{site}"', "names of [sites.NAME]")
        if len(reader.errors) == before:
            found[name] = WebhookSettings(name=name, **values)
    return found


def _with_archive_dir(table: ParsedTable) -> ParsedTable:
    """Set ``archive_dir`` to the folder where files wait for the object store, where ``archive`` is set."""
    state = table.get("state_dir", str(fields_dict(CrawlerTable)["state_dir"].default))
    if not table.get("archive") or "archive_dir" in table or not isinstance(state, str):
        return table
    return {**table, "archive_dir": f"{state}/archive"}


def _use_file_url(reader: _ConfigReader, table: ParsedTable, values: dict[str, Any]) -> None:
    """Turn ``archive = "file:///FOLDER"`` into ``archive_dir``; the two keys exclude each other."""
    if table.get("archive") and "archive_dir" in table:
        reader.add_error("crawler.archive_dir", "set", "left out where archive is set")
    url = values.get("archive") or ""
    if url.startswith("file://"):
        values["archive_dir"], values["archive"] = Path(url.removeprefix("file://")), ""


def _site(reader: _ConfigReader, sites: ParsedTable, name: str) -> SiteSettings | None:
    dotted = f"sites.{name}"
    if not checks.is_node_name(name):
        reader.add_error(dotted, "no such name", _SITE_NAME)
        return None
    parsed = dict(reader.subtable({name: sites[name]}, dotted))
    nodes = reader.subtable(parsed, f"{dotted}.nodes")
    parsed.pop("nodes", None)
    before = len(reader.errors)
    values = reader.table(SiteSettings, parsed, dotted, tables.SITE, ("origin",))
    _check_generic_keys(reader, values, dotted)
    known = {node: _known_node(reader, nodes, f"{dotted}.nodes", node) for node in nodes}
    if len(reader.errors) > before:
        return None
    sticky = {key: values.pop(key) for key in tables.STICKY if key in values}
    return SiteSettings(name=name, nodes=known, sticky=StickyTable(**sticky), **values)


def _known_node(reader: _ConfigReader, nodes: ParsedTable, parent: str, name: str) -> KnownNode:
    dotted = f"{parent}.{name}"
    if not checks.is_node_name(name):
        reader.add_error(dotted, "no node name", tables.NAME_ALLOWED)
        return KnownNode()
    values = reader.table(KnownNode, reader.subtable(nodes, dotted), dotted, tables.KNOWN_NODE)
    return KnownNode(**{key: value for key, value in values.items() if value is not None})
