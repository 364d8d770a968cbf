"""The manual's pages on balancers, and their configurations put where a test's nodes are."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.support.balancer_programs import CHECKS, RUNS

ROOT = Path(__file__).resolve().parents[2]
_NODE_ADDRESS = re.compile(r"10\.0\.0\.([12])(\D{1,20})8080")
_ADMIN_PORT = re.compile(r"^(    server (n[12]) .* check port )9101$", re.MULTILINE)
_ENDINGS = {"envoy": "yaml", "traefik": "yaml", "varnish": "vcl"}
_TRAEFIK = """entryPoints: {{ visitors: {{ address: "127.0.0.1:{port}" }} }}
providers: {{ file: {{ filename: "{routes}" }} }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
"""


def writer() -> ModuleType:
    """The program that writes the pages; it is no part of a package."""
    name = "balancer_pages_of_the_manual"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / "balancer_pages.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pages() -> Mapping[str, Any]:
    """Each page by its name."""
    return {page.name: page for page in writer().pages()}


def check_command(page: Any, folder: Path) -> Sequence[str]:
    """The command by which the page's program checks its configuration."""
    file = write(page, folder, 8079, {"n1": 8081, "n2": 8082}, {"n1": 9101, "n2": 9102})
    return CHECKS[page.program](file, folder)


def run_command(
    page: Any, folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]
) -> Sequence[str]:
    """The command that runs the page's configuration."""
    return RUNS[page.program](write(page, folder, port, nodes, admins), folder)


def write(page: Any, folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Path:
    """Write the page's configuration for these ports.

    :returns: the file that the program reads.
    """
    text = page.balancer
    if page.listen:
        shown, here = page.listen
        assert shown in text, f"{page.name}: {shown!r} is not in the configuration"
        text = text.replace(shown, here.replace("@PORT@", str(port)))
    text = _NODE_ADDRESS.sub(lambda found: f"127.0.0.1{found[2]}{nodes[f'n{found[1]}']}", text)
    text = _ADMIN_PORT.sub(lambda found: f"{found[1]}{admins[found[2]]}", text)
    assert "10.0.0" not in text
    file = folder / f"{page.program}.{_ENDINGS.get(page.program, 'conf')}"
    file.write_text(page.prelude + text)
    if page.program == "varnish":
        (folder / "varnish.port").write_text(str(port))
    if page.program == "traefik":
        routes = file.rename(folder / "routes.yaml")
        file.write_text(_TRAEFIK.format(port=port, routes=routes))
    return file
