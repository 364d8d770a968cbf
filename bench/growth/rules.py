"""Rules: CPU time of a page and of a start with long lists of path patterns, selectors, names and address blocks.

No rule of a list matches the page, so each one counts: the list of included paths ends with the one that does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from attrs import frozen

from bench.growth.setting import Effort, GrowingNode, Setting, Values, add
from bench.system_info import Cpu
from bench.workload import CASES

_PAGE, _NUMBERED = CASES["page-10k"], CASES["page-10k-numbered"]
PAGE = "CPU time for a page, one path for all, µs"
NUMBERED = "CPU time for a page, a path for each, µs"
START = "CPU time of a start, ms"


def path_patterns(count: int) -> list[str]:
    """Path patterns with all wildcards; none matches a page of the benchmark."""
    forms = (
        "/shop/area-{0}/**",
        "/shop/*/part-{0}/*.html",
        "/customers/{0}/orders/??",
        "**/print-{0}.php",
        "/help/{0}",
    )
    return [forms[number % len(forms)].format(number) for number in range(count)]


def selectors(count: int) -> list[str]:
    """CSS selectors of elements that the page does not have."""
    forms = ("[name=field-{0} i]", ".secret-{0}", "#account-{0}", "input[name^='card-{0}-']", "td.iban-{0}")
    return [forms[number % len(forms)].format(number) for number in range(count)]


def field_names(count: int) -> list[str]:
    """Names of fields that the application does not send."""
    return [f"X-Internal-{number}" for number in range(count)]


def address_blocks(count: int) -> list[str]:
    """Blocks of addresses, the last one with the visitors."""
    return [*(f"10.{number >> 8}.{number & 255}.0/24" for number in range(count - 1)), "127.0.0.0/8"]


@frozen
class _List:
    """A list of the configuration: where its lines go."""

    table: str
    rules: Callable[[int], list[str]]
    last: tuple[str, ...] = ()


LISTS = {
    "include": _List("capture", path_patterns, ("/tools**",)),
    "exclude": _List("exclude", path_patterns),
    "no_store": _List("capture", path_patterns),
    "outlive_pull": _List("capture", path_patterns),
    "mask": _List("capture", selectors),
    "archive_fields_exclude": _List("capture", field_names),
    "trusted_proxies": _List("node", address_blocks),
}


def measure(setting: Setting, effort: Effort) -> Values:
    """Measure all rounds; each begins with a node without rules."""
    values: Values = {}
    for number in range(effort.rounds):
        with setting.node() as node:
            _measure(setting, effort, node, [*LISTS], 0, values)
        for name in LISTS:
            for count in effort.rules:
                with _node(setting, name, count) as node:
                    _measure(setting, effort, node, [name], count, values)
        setting.say(f"rules, round {number + 1} of {effort.rounds}")
    return values


def _node(setting: Setting, name: str, count: int) -> AbstractContextManager[GrowingNode]:
    listed = LISTS[name]
    rules = [*listed.rules(count), *listed.last]
    line = f"{name} = {json.dumps(rules)}\n"
    if listed.table == "exclude":
        return setting.node(excluded=tuple(rules))
    return setting.node(capture_lines=line) if listed.table == "capture" else setting.node(node_lines=line)


def _measure(setting: Setting, effort: Effort, node: GrowingNode, names: list[str], count: int, values: Values) -> None:
    time.sleep(effort.settle)
    start = 1000 * Cpu.of(node.pids).total
    found = {START: start}
    for figure, case in ((PAGE, _PAGE), (NUMBERED, _NUMBERED)):
        setting.page_us(node, case, max(32, effort.requests // 8))
        found[figure] = setting.page_us(node, case, effort.requests)
    for figure, value in found.items():
        for name in names:
            add(values, figure, name, count, value)
