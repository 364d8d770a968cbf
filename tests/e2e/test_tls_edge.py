"""A balancer that ends TLS, before companions of which one has a TLS listener: scheme, cookies, notices, doctor."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from lbcompanion.demo.ports import ReservedPorts
from lbcompanion.demo.processes import companion_command
from tests.support.children import Children
from tests.support.farm import NODES, StickySettings, plain_applications
from tests.support.programs import need_program
from tests.support.tls_edge import IN_TLS, SecureView, SecureVisitor, TlsFarm, tls_edge

pytestmark = [pytest.mark.slow, pytest.mark.programs, pytest.mark.network]


@pytest.fixture(scope="module", name="farm")
def _farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsFarm]:
    need_program("haproxy")
    folder, ports = tmp_path_factory.mktemp("tls"), ReservedPorts()
    children = Children(folder)
    try:
        applications = plain_applications(children, ports, folder)
        edge: list[int] = []
        farm = TlsFarm(
            folder, children, ports, applications, lambda *asked: tls_edge(edge, *asked), StickySettings(("SRV",))
        )
        farm.prepare()
        edge.append(farm.edge)
        try:
            farm.start()
            yield farm
        finally:
            farm.stop()
    finally:
        children.kill()
        ports.release()


def test_pages_of_all_nodes_are_archived_by_their_https_address(farm: TlsFarm) -> None:
    views: list[SecureView] = []
    while {farm.owner(view.token) for view in views} != set(NODES):
        views.append(SecureVisitor(farm).view(f"/page/{len(views)}"))
        assert len(views) < 40
    for view in views:
        assert view.fetch_url.startswith(f"{farm.origin}/_lbc/page/"), "the scheme is the visitor's"
        (sticky,) = [line for line in view.set_cookies if line.startswith("SRV=")]
        assert "Secure" in sticky
    found = farm.finished([view.token for view in views], 90)
    for view in views:
        recording = found[view.token]
        assert (recording["outcome"], recording["reason"]) == ("archived", None), recording
        assert recording["url"] == view.url
        assert recording["answered_by"] == farm.owner(view.token)
    assert {found[view.token]["answered_by"] for view in views} >= {IN_TLS}


def test_the_doctor_finds_nothing_wrong(farm: TlsFarm) -> None:
    command = companion_command(
        "doctor", f"{farm.origin}/page/doctor", "--config", str(farm.folder / "crawler.toml"), "--json"
    )
    done = subprocess.run(command, capture_output=True, timeout=180, check=False)
    report = json.loads(done.stdout)
    found = {finding["code"]: finding["severity"] for finding in report["findings"]}
    assert found["journey"] == "good", report["findings"]
    assert found["configured"] == "good"
    assert report["journey"]["page_origin"] == farm.origin
    assert not {code for code, severity in found.items() if severity in {"problem", "warning"}}, report["findings"]
    assert done.returncode == 0
