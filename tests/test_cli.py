from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lbcompanion import __version__
from lbcompanion.cli import main

COMMANDS = sorted(main.commands)
ORIGIN = "https://www.example.com"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments])


def init(folder: Path, nodes: str = "n1,n2", origin: str = ORIGIN) -> Result:
    return run("init", folder, "--nodes", nodes, "--origin", origin)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert done.stdout.startswith("Usage:")


def test_the_version_is_told() -> None:
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize("arguments", [("nothing",), ("node",), ("explain",), ("demo", "--nodes", "x"), ("--no",)])
def test_bad_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize("nodes", ["", "n 1", "n1,n1", "../n1", "crawler", "n1," + 33 * "x"])
def test_init_refuses_names(tmp_path: Path, nodes: str) -> None:
    assert init(tmp_path / "farm", nodes=nodes).exit_code == 2
    assert not (tmp_path / "farm").exists()


@pytest.mark.parametrize("origin", ["www.example.com", "https://www.example.com/shop", "", 'https://a"b'])
def test_init_refuses_origins(tmp_path: Path, origin: str) -> None:
    assert init(tmp_path / "farm", origin=origin).exit_code == 2
    assert not (tmp_path / "farm").exists()


@pytest.fixture(name="bad")
def _bad(tmp_path: Path) -> Path:
    assert init(tmp_path).exit_code == 0
    for name in ("n1.toml", "crawler.toml"):
        text = (tmp_path / name).read_text().replace("state_dir", "state_dri").replace("dialect = ", "dialect = 5 #")
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "name"),
    [("node", "n1.toml"), ("crawler", "crawler.toml"), ("check-config", "n1.toml"), ("check-config", "crawler.toml")],
)
def test_a_bad_configuration_is_exit_2_and_told_in_full(bad: Path, command: str, name: str) -> None:
    done = run(command, *([] if command == "check-config" else ["--config"]), bad / name)
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    for line, key, value, right in zip(
        lines, ("state_dri", "dialect"), ("no known key", "5"), ("did you mean state_dir?", '"auto"'), strict=True
    ):
        assert line.startswith(f"lbcompanion: {bad / name}: ")
        assert f"{key} is {value}; allowed: {right}" in line


def test_errors_come_as_json(bad: Path) -> None:
    done = run("check-config", bad / "n1.toml", "--json")
    assert done.exit_code == 2
    told = json.loads(done.stdout)
    assert told["ok"] is False
    assert [error["key"] for error in told["errors"]] == ["node.state_dri", "sticky.dialect"]
    assert set(told["errors"][0]) == {"file", "key", "value", "allowed"}


@pytest.mark.parametrize("command", ["node", "crawler", "fetch"])
def test_a_missing_configuration_is_exit_2(tmp_path: Path, command: str) -> None:
    more = [f"{ORIGIN}/"] if command == "fetch" else []
    done = run(command, *more, "--config", tmp_path / "none.toml")
    assert done.exit_code == 2
    assert "none.toml is not readable" in done.stderr


@pytest.mark.parametrize("arguments", [("--balancer", "none"), ("--nodes", "0"), ("--visits", "0")])
def test_a_demo_that_cannot_be_is_exit_2(arguments: tuple[str, str]) -> None:
    done = run("demo", "--once", *arguments)
    assert done.exit_code == 2
    assert arguments[0] in done.stderr


def test_explain_names_node_and_replay() -> None:
    done = run("explain", "JSESSIONID=abc.node1", "--json")
    assert done.exit_code == 0
    first = json.loads(done.stdout)["findings"][0]
    assert (first["dialect"], first["node"], first["replay"]) == ("jvmroute", "node1", ".node1")
    assert "names node node1; replay JSESSIONID=.node1" in run("explain", "JSESSIONID=abc.node1").stdout


def test_explain_lists_dialects() -> None:
    assert "haproxy-insert" in run("explain", "--list").stdout.splitlines()
    assert "haproxy-insert" in json.loads(run("explain", "--list", "--json").stdout)


def test_explain_tells_alike_dialects_in_one_line() -> None:
    lines = run("explain", "JSESSIONID=abc.node1").stdout.splitlines()
    assert lines[0] == "JSESSIONID"
    assert lines[1].startswith("  jvmroute, apache-mod-jk, tomcat, undertow: names node node1; replay ")


def test_explain_fails_where_nothing_is_known() -> None:
    assert run("explain", "nothing").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        *(
            ("doctor",),
            ("doctor", "www.example.com"),
            ("doctor", "ftp://x/"),
            ("doctor", "http://x/", "--connect", "x"),
        ),
        *(("doctor", "http://x/", "--connect", "x:0"), ("balancer-config", "haproxy"), ("balancer-config", "pound")),
    ],
)
def test_doctor_and_balancer_config_refuse_what_cannot_be(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


def test_balancer_config_takes_all_files_of_a_folder(tmp_path: Path) -> None:
    assert init(tmp_path, nodes="n1,n2").exit_code == 0
    files = [tmp_path / name for name in ("crawler.toml", "n1.toml", "n2.toml")]
    done = run("balancer-config", "haproxy", "--listen", "127.0.0.1:8500", "--config", *files)
    assert done.exit_code == 0
    assert "bind 127.0.0.1:8500\n" in done.stdout
    assert "server n2 n2:8080 cookie n2 check" in done.stdout
    assert "n1 is a guess: n1:8080; --address says it" in done.stderr


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
