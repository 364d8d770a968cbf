"""The console lines of the manual, and which of them the tests do not run, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_BLOCK = re.compile(r"(?m)^( *)\.\. code-block:: console\n\n((?:\1 {3,}.*\n|\n)+)")
_ASSIGNMENTS = re.compile(r"^(?:[A-Z_]+=\S+ )+")

#: What begins a line that is not run, and why not; the first that fits counts. Without a reason it is run.
NOT_RUN = {
    "make ": "a target runs tests, benchmarks or the demo; test_manual.py checks that it exists",
    "python -m bench --help": "",
    "python -m bench.simulate --help": "",
    "python -m bench": "takes minutes; tests/bench runs the parts",
    "python -m fuzz": "takes long; tests/fuzz/test_run.py runs it with few inputs",
    "python -m coverage": "runs the tests themselves",
    "python -m pytest": "runs the tests themselves",
    "pytest ": "runs the tests themselves",
    "python3 -m venv": "tests/test_install.py installs the wheel",
    "/opt/lbcompanion/": "tests/test_install.py installs the wheel",
    "examples/": "tests/e2e/test_example_java.py and its neighbours run the examples",
    "chromium ": "opens a window for people; tests/crawler/admin/test_script_pages_chromium.py starts Chromium",
    "useradd": "changes the system; test_manual.py compares it with what init prints",
    "install -": "changes the system; test_manual.py compares it with what init prints",
    "systemctl": "changes the system; test_manual.py compares it with what init prints",
    "lbcompanion init": "test_manual.py and the farm of test_manual_console.py begin with it",
    "lbcompanion user add": "asks on a terminal, or needs a file of users: tests/cli/test_users.py",
    'curl -H "Authorization': "needs a user: tests/e2e/test_access.py",
    "lbcompanion doctor https://www.example.com/shop/": "as the one without a path",
    "aws ": "needs an account at AWS",
    "az ": "needs an account at Azure",
    "gcloud ": "needs an account at Google Cloud",
    "tmsh ": "runs on BIG-IP only",
}
#: Lines that start or stop a service. The farm of test_manual_console.py begins with the first two; a test runs the
#: others one after the other.
SERVICES = (
    "lbcompanion crawler --config crawler.toml",
    "lbcompanion node --config n1.toml",
    "lbcompanion node --config n1.toml --take-over",
    "lbcompanion drain --config n1.toml",
    "twistd -n lbcompanion --config n1.toml",
    "twistd -n lbcompanion-crawler --config crawler.toml",
)


def console_lines() -> Iterator[tuple[str, str]]:
    """The page and the text of each line after a prompt, with its continuations."""
    for path in sorted(DOCS.glob("*.rst")):
        for _, block in _BLOCK.findall(path.read_text()):
            for line in re.sub(r"\\\n +", "", block).splitlines():
                if line.lstrip().startswith("$ "):
                    yield path.name, line.lstrip()[2:]


def reason_not_to_run(line: str) -> str:
    """Why a line is not run; empty if it is."""
    return NOT_RUN.get(beginning_of(line), "")


def beginning_of(line: str) -> str:
    """The key of :data:`NOT_RUN` that a line begins with, after assignments to the environment; empty if none."""
    command = _ASSIGNMENTS.sub("", line)
    return next((beginning for beginning in NOT_RUN if command.startswith(beginning)), "")


def lines_to_run() -> list[str]:
    """The lines that a farm can run at any time, each once."""
    found = dict.fromkeys(line for _, line in console_lines() if not reason_not_to_run(line))
    return [line for line in found if line not in SERVICES]
