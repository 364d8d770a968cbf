"""The manual tells the truth: every key of the configuration with its default, every command, every room."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import click
import pytest
from attrs import NOTHING, Factory, asdict, fields_dict
from click.testing import CliRunner

from lbcompanion import settings
from lbcompanion.config import tables
from lbcompanion.config.systemd_units import crawler_commands, node_commands
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.node.metrics.admin import NodeMetrics
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.metrics.status import GAUGES, NodeStatus, with_help_texts
from tests.support.house_map import DISTRICT_FLOOR_OF, FLOOR_OF
from tests.support.manual_console import console_lines

DOCS = Path(__file__).parent.parent / "docs"
SECTION = re.compile(r"^(\[[^\n]+)\n~+\n(.*?)(?=^\[[^\n]+\n~+\n|\Z)", re.MULTILINE | re.DOTALL)
KEY = re.compile(r"^``(\w+)`` (?:required|= ``(.*)``)$", re.MULTILINE)

#: Heading -> settings class, keys.
TABLES: Mapping[str, tuple[type, tables.Table]] = {
    "[node]": (settings.NodeTable, tables.NODE["node"]),
    "[capture]": (settings.CaptureTable, tables.NODE["capture"]),
    "[inject]": (settings.InjectTable, tables.NODE["inject"]),
    "[store]": (settings.StoreTable, tables.NODE["store"]),
    "[sticky]": (settings.StickyTable, tables.NODE["sticky"]),
    "[fetch]": (settings.FetchTable, tables.NODE["fetch"]),
    "[crawler]": (settings.NodeCrawlerTable, tables.NODE["crawler"]),
    "[limits]": (settings.LimitsTable, tables.NODE["limits"]),
    "[crawler] of a crawler": (settings.CrawlerTable, tables.CRAWLER),
    "[fetch] of a crawler": (settings.CrawlerFetchTable, tables.CRAWLER_FETCH),
    "[outcomes]": (settings.OutcomesTable, tables.OUTCOMES),
    "[webhooks.NAME]": (settings.WebhookSettings, tables.WEBHOOK),
    "[requisites]": (settings.RequisitesTable, tables.REQUISITES),
    "[sites.NAME]": (settings.SiteSettings, tables.SITE),
    "[sites.NAME.nodes.NODE]": (settings.KnownNode, tables.KNOWN_NODE),
}


def sections() -> dict[str, str]:
    return dict(SECTION.findall((DOCS / "configuration.rst").read_text()))


def documented(heading: str) -> dict[str, Any]:
    """Key -> default as the manual writes it; NOTHING where it is required."""
    found = {}
    for key, default in KEY.findall(sections()[heading]):
        found[key] = tomllib.loads(f"it = {default}")["it"] if default else NOTHING
    return found


def as_toml(value: Any) -> Any:
    """A setting's default as the file would have it."""
    if isinstance(value, tuple):
        return [as_toml(one) for one in value]
    if isinstance(value, Path | IPv4Network | IPv6Network):
        return str(value)
    return "" if value is None else value


def actual(cls: type, key: str) -> Any:
    fields = fields_dict(cls)
    default = (fields[key] if key in fields else fields_dict(settings.StickyTable)[key]).default
    return default.factory() if isinstance(default, Factory) else default  # type: ignore[arg-type]


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_there_with_its_default(heading: str) -> None:
    cls, checks = TABLES[heading]
    told = documented(heading)
    assert list(told) == list(checks)
    for key, default in told.items():
        assert as_toml(actual(cls, key)) == default, key


def test_every_table_is_there() -> None:
    assert set(sections()) == {*TABLES, "[peers]"}


def code_blocks() -> Iterator[str]:
    for path in (*DOCS.glob("*.rst"), DOCS.parent / "README.md"):
        text = path.read_text()
        yield from re.findall(r"(?m)^ {3,}(?:\$ )?lbcompanion ([a-z-]+)", text)
        yield from re.findall(r"``lbcompanion ([a-z-]+)", text)


def test_every_command_named_exists() -> None:
    from lbcompanion.cli import main

    assert set(code_blocks()) - set(main.commands) == set()


def test_every_room_is_documented() -> None:
    house = (DOCS / "house.rst").read_text()
    assert {room for room in FLOOR_OF if f"``{room}``" not in house} == set()
    _, _, districts = house.partition("Districts of ``node``")
    names = {district.partition(".")[2] for district in DISTRICT_FLOOR_OF}
    assert {name for name in names if f"``{name}``" not in districts} == set()


def test_every_module_named_on_the_map_exists() -> None:
    """A dotted name is a module below ``lbcompanion``."""
    package = DOCS.parent / "lbcompanion"
    names = set(re.findall(r"``((?:" + "|".join(FLOOR_OF) + r")(?:\.[a-z_0-9]+)+)``", (DOCS / "house.rst").read_text()))
    files = {name: package.joinpath(*name.split(".")) for name in names}
    assert {name for name, path in files.items() if not path.is_dir() and not path.with_suffix(".py").exists()} == set()


def rows_of_the_map() -> list[tuple[str, list[str], list[str]]]:
    """The rows of the map's tables: what may be changed, and the modules and the files where it is changed."""
    tables, _, _ = (DOCS / "house.rst").read_text().partition("\nRooms\n")
    rows = []
    for row in re.split(r"(?m)^   \* - ", tables)[1:]:
        what, _, where = row.partition("\n     - ")
        where, _, _ = where.partition("\n\n")
        modules = re.findall(r"``([a-z_0-9]+(?:\.[a-z_0-9]+)*)``", where)
        rows.append((what, modules, re.findall(r"``([a-z_0-9]+/[a-z_0-9/.]*)``", where)))
    return rows


def test_a_row_of_the_map_names_one_or_two_places_that_exist() -> None:
    """With more of them a reader has to guess which one is meant."""
    package = DOCS.parent / "lbcompanion"
    for what, modules, files in rows_of_the_map():
        paths = [package.joinpath(*name.split(".")) for name in modules]
        assert [path for path in paths if not path.is_dir() and not path.with_suffix(".py").exists()] == [], what
        assert [name for name in files if not (package / name).exists() and not (DOCS.parent / name).exists()] == []
        assert 1 <= len(modules) + len(files) <= 2, what


def test_no_two_rows_of_the_map_are_about_the_same() -> None:
    subjects = [what for what, _, _ in rows_of_the_map()]
    assert sorted(set(subjects)) == sorted(subjects)


def test_every_module_is_in_a_row_of_the_map() -> None:
    """A module by its own name, or by the name of its folder where all modules of the folder are of one kind."""
    package = DOCS.parent / "lbcompanion"
    named = {name for _, modules, _ in rows_of_the_map() for name in modules}
    paths = [path.relative_to(package).with_suffix("") for path in package.rglob("*.py") if path.name != "__init__.py"]
    assert [path for path in paths if not {".".join(path.parts), ".".join(path.parent.parts)} & named] == []


def test_every_limit_is_in_the_table_of_limits_with_its_default() -> None:
    text = (DOCS / "limits.rst").read_text()
    rows = dict(re.findall(r"   \* - ``(\w+)``\n     - (\d+)", text))
    assert {name: int(default) for name, default in rows.items()} == asdict(settings.LimitsTable())


METRIC = re.compile(r"^``(\w+)(?:\{([^}]*)\})?``$", re.MULTILINE)


def documented_metrics(program: str) -> list[tuple[str, frozenset[str]]]:
    """The metrics of a ``node`` or a ``crawler`` in the manual, each with its labels."""
    text = (DOCS / "reference-metrics.rst").read_text().partition(f"\nMetrics of a {program}\n")[2]
    text = text.partition("\nMetrics of a ")[0]
    return [(name, frozenset(labels.split(", ") if labels else ())) for name, labels in METRIC.findall(text)]


def exported(families: Iterable[Any]) -> list[tuple[str, frozenset[str]]]:
    """The metrics as Prometheus names them, each with its labels."""
    return [
        (f"{each._name}_total" if "Counter" in type(each).__name__ else each._name, frozenset(each._labelnames))
        for each in families
    ]


def test_every_metric_of_a_node_is_in_the_manual_and_no_other() -> None:
    status = NodeStatus("n1", Counters(), with_help_texts(dict.fromkeys(GAUGES, 0)))
    families = list(NodeMetrics(status).collect())
    for each in families:
        each._name = each.name.removeprefix("lbcompanion_node_")
    assert sorted(documented_metrics("node")) == sorted(exported(families))


def test_every_metric_of_a_crawler_is_in_the_manual_and_no_other() -> None:
    metrics = CrawlerMetrics()
    families = list(metrics.registry._collector_to_names)
    found = [(name.removeprefix("lbcompanion_crawler_"), labels) for name, labels in exported(families)]
    assert sorted(documented_metrics("crawler")) == sorted(found)


TEST_NAME = re.compile(r"``(tests/[\w/]+\.py)::([\w:]+)``")
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
#: The rows of a table, each from its first cell to its last.
ROW = re.compile(r"(?m)^   \* - .*\n(?:     .*\n)*")


def test_each_row_for_the_old_modules_names_tests_that_exist() -> None:
    text = (DOCS / "coming-from-modules.rst").read_text()
    rows = [row for row in ROW.findall(text) if not row.startswith("   * - the old modules\n")]
    assert len(rows) > 30
    assert [row.splitlines()[0] for row in rows if not TEST_NAME.search(row)] == []
    missing = [f"{path}::{name}" for path, name in TEST_NAME.findall(text) if name not in names_of_tests(path)]
    assert missing == []


def names_of_tests(path: str) -> set[str]:
    """The tests of a file as pytest names them on its command line: ``test`` or ``Class::test``."""
    found: set[str] = set()
    for node in ast.parse((DOCS.parent / path).read_text()).body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{each.name}" for each in node.body if isinstance(each, FUNCTIONS)}
        elif isinstance(node, FUNCTIONS):
            found.add(node.name)
    return found


#: First words of commands that cannot be checked here, with the reason.
FOREIGN = {
    "chromium": "a browser with a window",
    "curl": "needs a running service",
    "grep": "a program of the system",
    "echo": "a program of the system",
    "python3": "creates an environment",
    "pip": "installs from a package index",
    "useradd": "changes the system's users",
    "install": "writes into the system's folders",
    "systemctl": "needs systemd",
    "examples/java/run": "run by tests/e2e/test_example_java.py",
    "aws": "needs an account at AWS",
    "az": "needs an account at Azure",
    "gcloud": "needs an account at Google Cloud",
    "tmsh": "runs on BIG-IP only",
    "coverage": "need not be installed",
    "pytest": "runs the tests themselves",
}
ASSIGNMENT = re.compile(r"[A-Za-z_]+=")
OPERATORS = {"|", ";", "&", "&&", "||"}


def console_commands() -> Iterator[tuple[str, list[str]]]:
    """The page and the words of each command in the console blocks and in README's indented blocks."""
    for page, line in console_lines():
        yield from ((page, words) for words in simple_commands(line))
    readme = (DOCS.parent / "README.md").read_text().replace("\\\n", " ")
    for line in re.findall(r"(?m)^    (lbcompanion .*|make .*)$", readme):
        yield from (("README.md", words) for words in simple_commands(line))


def simple_commands(line: str) -> Iterator[list[str]]:
    """The words of each command of a shell line, without assignments and redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if word in OPERATORS:
            if words:
                yield words
            words = []
        elif word in {">", "<", ">>"} or redirected:
            redirected = not redirected
        elif words or not ASSIGNMENT.match(word):
            words.append(word)


def problem(words: list[str]) -> str:
    """What is wrong with a command; empty if nothing is, or if it is a foreign program."""
    program = words[0].rpartition("/")[2] if words[0].startswith("/") else words[0]
    if program == "lbcompanion":
        return usage_problem(words[1:])
    if program == "make":
        makefile = (DOCS.parent / "Makefile").read_text().replace("$(VENV)", ".venv")
        targets = [word for word in words[1:] if not ASSIGNMENT.match(word)]
        return ", ".join(t for t in targets if not re.search(rf"(?m)^(?:.* )?{re.escape(t)}\b[^=\n]*:", makefile))
    if program == "python" and words[1] == "-m":
        known = words[2] in FOREIGN or importlib.util.find_spec(words[2])
        return "" if known else f"no module {words[2]}"
    if program == "twistd":
        return "" if words[2] in {"lbcompanion", "lbcompanion-crawler"} else f"no plugin {words[2]}"
    return "" if program in FOREIGN else f"{program} is not in FOREIGN"


def usage_problem(arguments: list[str]) -> str:
    """What the command line's own parser refuses: an unknown command, option or argument. Nothing is run."""
    from lbcompanion.cli import main

    command: click.Command = main
    # A command keeps the help option that its first context names, so each context has its parent's settings.
    context = click.Context(command, **command.context_settings)
    while isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        if name not in command.commands:
            return f"no command {name}"
        command = command.commands[name]
        context = click.Context(command, parent=context, **command.context_settings)
    try:
        parser = command.make_parser(context)
        _, left, _ = parser.parse_args(list(arguments))
    except click.UsageError as error:
        return error.format_message()
    return f"left over: {left}" if left else ""


def test_each_command_of_a_console_block_exists_with_its_options() -> None:
    found = list(console_commands())
    assert len(found) > 60
    assert [(page, " ".join(words), wrong) for page, words in found if (wrong := problem(words))] == []


@pytest.mark.parametrize(
    "stale",
    ["lbcompanion fetsh TOKEN", "lbcompanion explain --lst", "lbcompanion user ad ann", "make no-such-target"],
)
def test_a_stale_command_is_noticed(stale: str) -> None:
    assert problem(stale.split()) != ""


def set_up_a_site(page: str) -> tuple[CliRunner, list[list[str]]]:
    """Run the ``init`` of a page in this folder; the commands of the page."""
    from lbcompanion.cli import main

    runner = CliRunner()
    commands = [words for where, words in console_commands() if where == page]
    init = next(words for words in commands if words[:3] == ["lbcompanion", "init", "farm"])
    result = runner.invoke(main, init[1:])
    assert result.exit_code == 0, result.output
    return runner, commands


def test_the_readme_sets_up_a_site_whose_files_are_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lbcompanion.cli import main

    monkeypatch.chdir(tmp_path)
    runner, commands = set_up_a_site("README.md")
    every = {words[words.index("--config") + 1] for words in commands if "--config" in words}
    files = {file for file in every if file.startswith("farm/")}
    assert files == {"farm/n1.toml", "farm/crawler.toml"}
    for file in sorted(files):
        result = runner.invoke(main, ["check-config", file])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "farm" / "haproxy.cfg").exists()


def test_the_commands_that_install_a_service_are_those_of_init() -> None:
    text = (DOCS / "running.rst").read_text()
    commands = [*node_commands("farm", "n1"), *crawler_commands("farm")]
    assert [line for line in commands if f"   $ {line}\n" not in text] == []


def test_the_commands_that_set_up_a_site_work_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lbcompanion.cli import main

    monkeypatch.chdir(tmp_path)
    runner, commands = set_up_a_site("running.rst")
    monkeypatch.chdir(tmp_path / "farm")
    for name in ("check-config", "explain"):
        words = next(words for words in commands if words[:2] == ["lbcompanion", name])
        result = runner.invoke(main, words[1:])
        assert result.exit_code == 0, result.output
