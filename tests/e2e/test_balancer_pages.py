"""The configurations of the manual's pages on balancers, run by the real programs and examined by the doctor."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.balancer_pages import check_command, pages, run_command
from tests.support.balancer_programs import CHECKS
from tests.support.doctor_environment import DoctorEnvironment, codes, doctor_environment

PAGES = {name: page for name, page in pages().items() if page.program}
#: What the doctor says of every balancer where everything is right.
ALWAYS = {"replay", "configured", "journey"}


@pytest.fixture(name="environment", scope="module")
def _two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorEnvironment]:
    with doctor_environment(tmp_path_factory.mktemp("pages"), ("n1", "n2")) as environment:
        yield environment


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if page.program in CHECKS])
def test_the_program_accepts_the_configuration(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        check_command(PAGES[name], tmp_path), capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PAGES)
def test_the_doctor_says_what_the_page_says(environment: DoctorEnvironment, name: str) -> None:
    page = PAGES[name]
    sticky = page.node[page.node.index("[sticky]") :]
    document = environment.report_on(
        lambda folder, port, nodes: run_command(page, folder, port, nodes, environment.admins), more_config=sticky
    )
    assert (document["sticky"], document["basis"], document["companions"]) == (True, "proven", True)
    assert {node["name"] for node in document["nodes"]} == {"n1", "n2"}
    assert f'cookies = ["{document["sticks_by"][0]}"]' in page.node
    assert codes(document) - ALWAYS == {code for code, _ in page.doctor}
    assert codes(document) >= ALWAYS
