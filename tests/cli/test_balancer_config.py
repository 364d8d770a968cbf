"""``balancer-config``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import init, run


@pytest.mark.parametrize("product", [(), ("haproxy",), ("pound",)])
def test_balancer_config_needs_a_product_and_a_file(product: tuple[str, ...]) -> None:
    assert run("balancer-config", *product).exit_code == 2


def test_balancer_config_takes_all_files_of_a_folder(tmp_path: Path) -> None:
    assert init(tmp_path, nodes="n1,n2").exit_code == 0
    files = [tmp_path / name for name in ("crawler.toml", "n1.toml", "n2.toml")]
    done = run("balancer-config", "haproxy", "--listen", "127.0.0.1:8500", "--config", *files)
    assert done.exit_code == 0
    assert "bind 127.0.0.1:8500\n" in done.stdout
    assert "server n2 n2:8080 cookie n2 check" in done.stdout
    assert "n1 is a guess: n1:8080; set it with --address" in done.stderr


def test_balancer_config_believes_what_is_said(tmp_path: Path) -> None:
    assert init(tmp_path, nodes="n1,n2").exit_code == 0
    said = ("--address", "n1=10.0.0.1", "--address", "n2=[::1]:99")
    done = run("balancer-config", "haproxy", *said, "--config", tmp_path / "n1.toml", tmp_path / "n2.toml")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "server n1 10.0.0.1:8080" in done.stdout
    assert "server n2 [::1]:99" in done.stdout


@pytest.mark.parametrize(
    "option",
    [
        *(("--listen", "x"), ("--listen", "127.0.0.1:0"), ("--address", "n1"), ("--address", "n1=http://x")),
        *(("--address", "n1=x:99999"), ("--address", "n9=10.0.0.1")),
    ],
)
def test_balancer_config_refuses_addresses(tmp_path: Path, option: tuple[str, str]) -> None:
    assert init(tmp_path, nodes="n1").exit_code == 0
    done = run("balancer-config", "nginx", *option, "--config", tmp_path / "n1.toml")
    assert (done.exit_code, done.stdout) == (2, "")
    assert option[0] in done.stderr


def test_balancer_config_needs_a_node(tmp_path: Path) -> None:
    assert init(tmp_path, nodes="n1").exit_code == 0
    assert run("balancer-config", "nginx", "--config", tmp_path / "crawler.toml").exit_code == 2
