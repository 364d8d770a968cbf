"""``init``: what it asks, and that what it writes runs without an editor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lbcompanion.cli import init as init_command
from lbcompanion.cli import main
from lbcompanion.config import read_crawler, read_node
from tests.support.cli import ORIGIN, init, run


@pytest.mark.parametrize("nodes", ["", "n 1", "n1,n1", "../n1", "crawler", "n1," + 33 * "x"])
def test_init_refuses_names(tmp_path: Path, nodes: str) -> None:
    assert init(tmp_path / "farm", nodes=nodes).exit_code == 2
    assert not (tmp_path / "farm").exists()


@pytest.mark.parametrize("origin", ["www.example.com", "https://www.example.com/shop", "", 'https://a"b'])
def test_init_refuses_origins(tmp_path: Path, origin: str) -> None:
    assert init(tmp_path / "farm", origin=origin).exit_code == 2
    assert not (tmp_path / "farm").exists()


def farm(folder: Path, *more: str) -> Result:
    return run("init", folder, "--origin", ORIGIN, *more)


def test_what_it_writes_with_addresses_names_every_machine(tmp_path: Path) -> None:
    nodes = "web1.example.com,10.0.0.2,n3=[fd00::3]:8081"
    done = farm(
        tmp_path,
        "--nodes",
        nodes,
        "--upstream",
        "127.0.0.1:80",
        "--upstream",
        "n3=10.1.1.1:81",
        "--crawler",
        "10.0.0.9",
    )
    assert (done.exit_code, done.stderr) == (0, "")
    first, third = read_node(tmp_path / "web1.toml"), read_node(tmp_path / "n3.toml")
    assert first.node.listen == ("tcp:8080",)
    assert first.node.upstream == "tcp:127.0.0.1:80"
    assert dict(first.peers) == {"n2": "http://10.0.0.2:8080", "n3": "http://[fd00::3]:8081"}
    assert third.node.listen == ("tcp:8081",)
    assert third.node.upstream == "tcp:10.1.1.1:81"
    assert third.crawler.intake == ("http://10.0.0.9:9200",)
    crawler = read_crawler(tmp_path / "crawler.toml")
    assert crawler.crawler.listen == "tcp:9200:interface=10.0.0.9"
    assert {name: each.direct for name, each in crawler.sites["main"].nodes.items()} == {
        "web1": "http://web1.example.com:8080",
        "n2": "http://10.0.0.2:8080",
        "n3": "http://[fd00::3]:8081",
    }


@pytest.mark.parametrize(
    ("product", "file", "dialect", "cookie"),
    [
        ("haproxy", "haproxy.cfg", "haproxy-insert", "SERVERID"),
        ("nginx", "nginx.conf", "haproxy-insert", "SERVERID"),
        ("apache", "apache.conf", "apache-route", "ROUTEID"),
        ("caddy", "Caddyfile", "caddy", "lb"),
        ("envoy", "envoy.yaml", "envoy", "SERVERID"),
    ],
)
def test_a_balancer_has_its_file_and_the_others_its_cookie(
    tmp_path: Path, product: str, file: str, dialect: str, cookie: str
) -> None:
    nodes = "n1=127.0.0.1:8081,n2=127.0.0.1:8082"
    done = farm(tmp_path, "--nodes", nodes, "--balancer", product, "--balancer-listen", "127.0.0.1:8500")
    assert (done.exit_code, done.stderr) == (0, "")
    text = (tmp_path / file).read_text()
    assert "8081" in text
    assert "8500" in text
    for name in ("n1", "n2"):
        settings = read_node(tmp_path / f"{name}.toml")
        assert (settings.sticky.dialect, settings.sticky.cookies) == (dialect, (cookie,))
    site = read_crawler(tmp_path / "crawler.toml").sites["main"]
    assert (site.sticky.dialect, site.sticky.cookies) == (dialect, (cookie,))
    assert (
        run("balancer-config", product, "--listen", "127.0.0.1:8500", "--config", tmp_path / "n1.toml").exit_code == 0
    )


def test_nodes_of_one_machine_have_admin_ports_of_their_own(tmp_path: Path) -> None:
    assert farm(tmp_path, "--nodes", "n1=127.0.0.1:8081,n2=127.0.0.1:8082").exit_code == 0
    ports = [read_node(tmp_path / f"{name}.toml").node.admin for name in ("n1", "n2")]
    assert ports == ["tcp:9101:interface=127.0.0.1", "tcp:9102:interface=127.0.0.1"]


def test_a_balancer_elsewhere_is_trusted_and_reaches_readyz(tmp_path: Path) -> None:
    more = ("--balancer", "haproxy", "--balancer-address", "10.0.0.5", "--balancer-address", "10.0.1.0/24")
    assert farm(tmp_path, "--nodes", "n1=10.0.0.1,n2=10.0.0.2", *more).exit_code == 0
    settings = read_node(tmp_path / "n1.toml")
    assert [str(each) for each in settings.node.trusted_proxies][2:] == ["10.0.0.5/32", "10.0.1.0/24"]
    assert settings.node.admin == "tcp:9101:interface=10.0.0.1"
    assert "uri /readyz" in (tmp_path / "haproxy.cfg").read_text()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--upstream", "n9=127.0.0.1:80"),
        ("--upstream", "127.0.0.1"),
        ("--listen", "0"),
        ("--crawler", "http://crawler"),
        ("--balancer", "pound"),
        ("--balancer-address", "lb.example.com"),
        ("--balancer-listen", "x"),
        ("--nodes", "n1=10.0.0.1:0"),
        ("--nodes", "n1=10.0.0.1:99999"),
        ("--nodes", "web.a.example,web.b.example"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, option: str, value: str) -> None:
    nodes = () if option == "--nodes" else ("--nodes", "n1,n2")
    done = farm(
        tmp_path / "farm", *nodes, *(("--balancer", "haproxy") if option == "--balancer-listen" else ()), option, value
    )
    assert done.exit_code == 2
    assert option in done.stderr
    assert not (tmp_path / "farm").exists()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--nodes", "n1=10.0.0.1"], ["--crawler"]),
        (["--nodes", "n1=web1.example.com", "--balancer", "haproxy"], ["--crawler", "--balancer-address"]),
        (["--nodes", "n1=web1.example.com", "--balancer", "nginx", "--crawler", "[fd00::9]"], ["--balancer-address"]),
        (["--nodes", "n1=10.0.0.1", "--crawler", "localhost"], ["--crawler"]),
        (["--nodes", "n1=10.0.0.1", "--crawler", "10.0.0.9"], []),
        (
            ["--nodes", "n1=10.0.0.1", "--crawler", "c", "--balancer", "caddy", "--balancer-address", "10.0.0.5"],
            [],
        ),
        (["--nodes", "n1=127.0.0.1:8081,n2=localhost:8082,n3=[::1]:8083", "--balancer", "envoy"], []),
        (["--nodes", "n1,n2"], []),
    ],
)
def test_machines_that_are_probably_missing_are_noted(tmp_path: Path, options: list[str], named: list[str]) -> None:
    done = farm(tmp_path, *options)
    assert done.exit_code == 0
    assert [line.split()[-1] for line in done.stderr.splitlines()] == named


def test_without_a_terminal_what_is_missing_is_named(tmp_path: Path) -> None:
    assert "--nodes" in run("init", tmp_path / "farm", "--origin", ORIGIN).stderr
    assert "--origin" in run("init", tmp_path / "farm", "--nodes", "n1").stderr


def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(init_command, "_is_terminal", lambda: True)
    answers = "n1=10.0.0.1,n2=10.0.0.2\nhttps://shop.example\n\n10.0.0.9\nhaproxy\n"
    done = CliRunner().invoke(main, ["init", str(tmp_path / "farm")], input=answers)
    assert done.exit_code == 0, done.output
    settings = read_node(tmp_path / "farm" / "n1.toml")
    assert (settings.node.public_origin, settings.node.upstream) == ("https://shop.example", "tcp:127.0.0.1:8000")
    assert (tmp_path / "farm" / "haproxy.cfg").exists()


def test_units_are_written_with_state_below_var_lib(tmp_path: Path) -> None:
    done = farm(tmp_path, "--nodes", "n1=10.0.0.1", "--systemd")
    assert done.exit_code == 0
    assert "systemctl enable --now lbcompanion-node@n1\n" in done.stderr
    assert "systemctl enable --now lbcompanion-crawler\n" in done.stderr
    assert read_crawler(tmp_path / "crawler.toml").crawler.archive_dir == Path("/var/lib/lbcompanion/archive")
    assert json.loads(run("check-config", tmp_path / "n1.toml", "--json").stdout)["ok"] is True
    assert "PrivateUsers=yes" in (tmp_path / "lbcompanion-node@.service").read_text()
