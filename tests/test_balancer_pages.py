"""The manual's pages on balancers and clouds are what their program writes, and agree with the code."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lbcompanion.cli import main
from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.dialects import by_name
from tests.support.balancer_pages import ROOT, pages, writer
from tests.support.balancer_programs import RUNS

PAGES = pages()
#: The least that there is.
WANTED = {
    *("haproxy", "nginx", "apache", "caddy", "envoy", "traefik", "ingress-nginx", "varnish"),
    *("aws-alb", "azure-application-gateway", "azure-app-service", "google-cloud", "bigip", "netscaler"),
}
DATE = re.compile(r"(?:read )?\d{1,2} [A-Z][a-z]+ 20\d\d")
#: What a farm has besides the page's settings.
NODE: Mapping[str, Any] = {
    "node": {"name": "n1", "listen": ["tcp:8080"], "upstream": "tcp:127.0.0.1:8000", "secret_file": "farm.secret"},
    "crawler": {"intake": "http://10.0.0.9:9200"},
}
CRAWLER: Mapping[str, Any] = {"crawler": {"listen": "tcp:9200", "secret_file": "farm.secret"}}


def test_the_pages_are_what_the_program_writes() -> None:
    stale = [path.name for path, text in writer().files().items() if not path.exists() or path.read_text() != text]
    assert stale == [], "python docs/balancer_pages.py writes them"
    written = {path.name for path in (ROOT / "docs").glob("balancer-*.rst")}
    assert written == {page.file.name for page in PAGES.values()}
    assert set(PAGES) >= WANTED


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_of_cookies_are_read_by_their_dialects(name: str) -> None:
    page = PAGES[name]
    for dialect in map(by_name, page.dialects):
        sample = dialect.samples[0]
        read = dialect.read(parse(sample.cookie), sample.names, sample.allow)
        assert tuple((cookie.name, cookie.value) for cookie in read) == sample.reads
    sticky = tomllib.loads(page.node)["sticky"]
    assert sticky["dialect"] in page.dialects
    site = tomllib.loads(page.crawler)["sites"]["main"]
    assert site["dialect"] == sticky["dialect"]


@pytest.mark.parametrize("name", PAGES)
def test_the_configured_cookie_is_read_by_the_configured_dialect(name: str) -> None:
    sticky = tomllib.loads(PAGES[name].node)["sticky"]
    dialect = by_name(sticky["dialect"])
    cookies = parse(dialect.samples[0].cookie)
    for configured in sticky["cookies"] or cookies:
        if not configured.startswith("/"):
            cookies = {configured: next(iter(cookies.values()))}
    assert dialect.read(cookies, tuple(sticky["cookies"])) != ()


def toml(tables: Mapping[str, Any], above: str = "") -> str:
    """A configuration as TOML; its values are those that JSON and TOML write alike."""
    own = {key: value for key, value in tables.items() if not isinstance(value, Mapping)}
    lines = [f"[{above}]"] if above and own else []
    lines += [f"{key} = {json.dumps(value)}" for key, value in own.items()]
    inner = {key: value for key, value in tables.items() if isinstance(value, Mapping)}
    return "\n".join([*lines, *(toml(value, f"{above}.{key}".lstrip(".")) for key, value in inner.items())]) + "\n"


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: {**base.get(key, {}), **more.get(key, {})} for key in {**base, **more}}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_the_settings_are_good(tmp_path: Path, name: str) -> None:
    (tmp_path / "farm.secret").write_bytes(b"a secret of this test, long enough for it")
    (tmp_path / "node.toml").write_text(toml(merged(NODE, tomllib.loads(PAGES[name].node))))
    (tmp_path / "crawler.toml").write_text(toml(merged(CRAWLER, tomllib.loads(PAGES[name].crawler))))
    files = [str(tmp_path / file) for file in ("node.toml", "crawler.toml")]
    for file in files:
        result = CliRunner().invoke(main, ["check-config", file])
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", PAGES)
def test_a_health_check_at_the_admin_listener_reaches_it(name: str) -> None:
    """By default, the admin listener is at 127.0.0.1, where no balancer of another machine reaches it."""
    page = PAGES[name]
    if "/readyz" in page.balancer or "health check requests ``/readyz``" in page.write:
        admin = tomllib.loads(page.node)["node"]["admin"]
        assert re.fullmatch(r"tcp:9101:interface=10\.0\.0\.1", admin)


@pytest.mark.parametrize("name", PAGES)
def test_the_findings_exist(name: str) -> None:
    page = PAGES[name]
    table = (ROOT / "docs" / "doctor.rst").read_text().partition("What it finds")[2]
    named = {
        code for codes in re.findall(r"(?m)^   \* - (``.*``)$", table) for code in re.findall(r"``([\w-]+)``", codes)
    }
    codes = {code for code, _ in page.doctor}
    assert codes - named == set()
    if not page.program:
        moves = by_name(tomllib.loads(page.node)["sticky"]["dialect"]).moves_visitor
        assert ("moves-visitor" in codes) is moves


@pytest.mark.parametrize("name", PAGES)
def test_the_source_is_stated(name: str) -> None:
    """A page is of a program that tests run, in the version that the dialects were measured with, or of manuals."""
    page = PAGES[name]
    if not page.program:
        assert page.manuals
        assert all(address.startswith("https://") and DATE.fullmatch(date) for _, date, address in page.manuals)
        return
    assert page.program in RUNS
    assert not page.manuals
    sources = " ".join(sample.source.lower() for dialect in map(by_name, page.dialects) for sample in dialect.samples)
    assert [version for version in page.versions if version.lower() not in sources] == []
