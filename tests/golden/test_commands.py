"""The output and the files of the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import drive
from tests.golden.golden import Golden

NODE = """\
[node]
name = "n1"
listen = ["tcp:8080"]
upstream = "tcp:127.0.0.1:8000"
secret_file = "farm.secret"
"""
CRAWLER = """\
[crawler]
secret_file = "farm.secret"
[sites.main]
origin = "https://www.example.com"
"""
#: Each is put into the smallest file in the place of what stands before it.
BAD = (
    (NODE, 'name = "n1"', ""),
    (NODE, '"n1"', '"n 1"'),
    (NODE, '["tcp:8080"]', '"tcp:8080"'),
    (NODE, '["tcp:8080"]', '["udp:8080"]'),
    (NODE, "tcp:127.0.0.1:8000", "http://127.0.0.1:8000"),
    (NODE, "farm.secret", "none.secret"),
    (NODE, "[node]", "[node]\nworkers = 0"),
    (NODE, "[node]", '[node]\nlisten_on = "x"'),
    (NODE, "[node]", "[capture]\nratio = 1.5\n[node]"),
    (NODE, "[node]", "[capture]\nmask = ['input[']\n[node]"),
    (NODE, "[node]", "[store]\nurl = 'mongodb://u:hush@h/'\n[node]"),
    (NODE, "[node]", "[sticky]\ndialect = 'trafik'\n[node]"),
    (NODE, "[node]", "[fetch]\nsignature = 'off'\n[node]"),
    (NODE, "[node]", "[peers]\nn2 = 'h:8080'\n[node]"),
    (NODE, "[node]", "[capture]\nratoi = 1\n[limits]\nconnections = 0\n[node]"),
    (NODE, "[node]", "[node"),
    (CRAWLER, "origin", "#"),
    (CRAWLER, "[crawler]", "[crawler]\nconcurrency = 0"),
    (CRAWLER, "[sites.main]", "[sites.main]\nladder = ['up']"),
    (CRAWLER, "[sites.main]", "[sites.main.nodes.n1]\ncookie = 'hush'\n[sites.main]"),
)
COOKIES = (
    *("SRV=n1", "JSESSIONID=abc.node1", "BIGipServerpool=1677787402.36895.0000; a=b"),
    *("AWSALB=abc; AWSALBCORS=abc", "nothing", "SERVERID=n1~abc; route=1f2e3d4c.n2; MOODLE=xyz"),
)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("farm.secret").write_text("0123456789abcdef-secret\n")
    Path("farm.secret").chmod(0o600)


def ran(golden: Golden, title: str, *arguments: str) -> None:
    """The output of a command for people. Only its exit status counts as structure."""
    status, out, error = drive.command(*arguments)
    golden.values(title, f"exit {status}")
    golden.words(title, drive.without_version(f"{out}--- error\n{error}" if error else out))


def test_help() -> None:
    with Golden("help") as golden:
        for name, parameters in drive.commands().items():
            golden.values(name, "\n".join(parameters))
            ran(golden, f"{name} --help", name, "--help")
        ran(golden, "--help", "--help")
        ran(golden, "--version", "--version")
        ran(golden, "no command", "nothing")
        ran(golden, "a missing option", "node")


def test_init() -> None:
    with Golden("init") as golden:
        status, out, error = drive.command("init", "farm", "--nodes", "n1,n2", "--origin", "https://www.example.com")
        golden.values("init", f"exit {status}\n{out}{error}")
        for path in sorted(Path("farm").iterdir()):
            secret = path.suffix == ".secret"
            text = f"{len(path.read_text())} characters" if secret else path.read_text()
            golden.values(f"mode of {path}", f"{path.stat().st_mode & 0o777:o}")
            golden.commented(str(path), text)
        ran(golden, "again", "init", "farm", "--nodes", "n1,n2", "--origin", "https://www.example.com")
        ran(golden, "a name", "init", "other", "--nodes", "n 1", "--origin", "https://www.example.com")
        ran(golden, "an origin", "init", "other", "--nodes", "n1", "--origin", "www.example.com")


@pytest.mark.slow
def test_check_config(tmp_path: Path) -> None:
    with Golden("check_config", hidden={str(tmp_path): "{folder}"}) as golden:
        for title, text in (("node", NODE), ("crawler", CRAWLER)):
            Path("it.toml").write_text(text)
            ran(golden, f"a good {title}", "check-config", "it.toml")
            golden.json(f"a good {title}, --json", drive.command("check-config", "it.toml", "--json")[1])
        for text, old, new in BAD:
            title = f"{old} -> {new}".replace("\n", "\\n")
            Path("it.toml").write_text(text.replace(old, new, 1))
            ran(golden, title, "check-config", "it.toml")
            status, out, _ = drive.command("check-config", "it.toml", "--json")
            golden.json(f"{title}, --json, exit {status}", out, "value", "allowed")
        ran(golden, "no file", "check-config", "none.toml")


def test_balancer_config() -> None:
    drive.command("init", "farm", "--nodes", "n1,n2", "--origin", "https://www.example.com")
    files = [f"farm/{name}.toml" for name in ("n1", "n2", "crawler")]
    with Golden("balancer_config") as golden:
        for product in ("haproxy", "nginx", "apache", "caddy", "envoy"):
            told = ("--address", "n1=10.0.0.1", "--address", "n2=[::1]:99", "--listen", "127.0.0.1:8500")
            status, out, error = drive.command("balancer-config", product, *told, "--config", *files)
            golden.commented(f"{product}, exit {status}", out)
            golden.words(f"{product}, error", error)
        status, out, error = drive.command("balancer-config", "haproxy", "--config", *files)
        golden.values(f"guessed, exit {status}", "\n".join(line for line in out.splitlines() if "server n" in line))
        golden.words("guessed, error", error)
        ran(golden, "an address", "balancer-config", "nginx", "--address", "n1", "--config", *files)


def test_explain() -> None:
    with Golden("explain") as golden:
        for cookies in COOKIES:
            ran(golden, cookies, "explain", cookies)
            status, out, _ = drive.command("explain", cookies, "--json")
            golden.json(f"{cookies}, --json, exit {status}", out)
        golden.values("--list", drive.command("explain", "--list")[1])
        golden.values("--list --json", drive.command("explain", "--list", "--json")[1])
