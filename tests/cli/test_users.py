"""``user`` and ``audit``: their options, their output, their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lbcompanion.cli import main
from lbcompanion.crawler import user_command
from lbcompanion.crawler.access.passwords import Cost, PasswordHash, token_hash
from lbcompanion.crawler.access.users_file import read_users
from lbcompanion.crawler.queue.database import Database, open_engine
from tests.support.cli import init


class Farm:
    def __init__(self, folder: Path) -> None:
        assert init(folder, nodes="n1").exit_code == 0
        self.config, self.file = folder / "crawler.toml", folder / "users"
        text = self.config.read_text()
        self.config.write_text(text.replace("[crawler]\n", '[crawler]\nusers_file = "users"\n', 1))
        self.queue = folder / "crawler.db"

    def run(self, *words: str, password: str = "") -> Result:
        return CliRunner().invoke(main, [*words, "--config", str(self.config)], input=f"{password}\n")

    def make_queue(self) -> None:
        database = Database(open_engine(f"sqlite:///{self.queue}"))
        database.open()
        database.close()


@pytest.fixture(name="farm")
def _farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Farm:
    cheap = PasswordHash.of
    monkeypatch.setattr(user_command.PasswordHash, "of", lambda password: cheap(password, Cost(2, 1, 1)))
    return Farm(tmp_path)


@pytest.mark.slow
def test_users_come_and_go(farm: Farm) -> None:
    farm.make_queue()
    added = farm.run("user", "add", "ann", "--role", "viewer", "--password-stdin", password="correct horse")
    assert (added.exit_code, added.stderr) == (0, ""), added.output
    assert farm.run("user", "list").stdout == "ann  viewer  password\n"
    made = farm.run("user", "add", "app", "--role", "operator", "--token")
    assert token_hash(made.stdout.strip()) == read_users(farm.file)["app"].token
    assert farm.run("user", "set-role", "ann", "--role", "operator").exit_code == 0
    assert farm.run("user", "set-password", "ann", "--password-stdin", password="another horse").exit_code == 0
    hashed = read_users(farm.file)["ann"].password
    assert hashed is not None
    assert hashed.matches("another horse")
    renewed = farm.run("user", "set-token", "app").stdout.strip()
    assert token_hash(renewed) == read_users(farm.file)["app"].token
    assert farm.run("user", "remove", "ann").exit_code == 0
    listed = json.loads(farm.run("user", "list", "--json").stdout)
    assert listed == {"users": [{"name": "app", "role": "operator", "password": False, "token": True}]}
    lines = json.loads(farm.run("audit", "--json").stdout)["audit"]
    actions = [line["action"] for line in lines[::-1]]
    assert actions == ["add user", "add user", "set role", "set password", "set token", "remove user"]
    assert {line["how"] for line in lines} == {"command"}
    text = farm.run("audit", "--limit", "1").stdout
    assert "remove user  allowed  ann\n" in text
    assert "horse" not in farm.file.read_text() + json.dumps(lines)


@pytest.mark.parametrize(
    ("words", "password", "why"),
    [
        (("user", "add", "a b", "--role", "viewer", "--token"), "", "letters, digits"),
        (("user", "add", "ann", "--role", "viewer", "--password-stdin"), "short", "too short"),
        (("user", "add", "ann", "--role", "viewer", "--password-stdin"), "x" * 2000, "too long"),
        (("user", "remove", "ann"), "", "no user ann"),
        (("user", "set-password", "ann", "--password-stdin"), "correct horse", "no user ann"),
        (("user", "set-role", "ann", "--role", "viewer"), "", "no user ann"),
        (("user", "set-token", "ann"), "", "no user ann"),
        (("audit",), "", "no queue"),
    ],
)
def test_what_is_not_possible(farm: Farm, words: tuple[str, ...], password: str, why: str) -> None:
    done = farm.run(*words, password=password)
    assert done.exit_code == 1
    assert why in done.stderr
    assert not farm.file.exists() or not read_users(farm.file)


def test_a_user_is_not_replaced(farm: Farm) -> None:
    assert farm.run("user", "add", "ann", "--role", "viewer", "--token").exit_code == 0
    before = farm.file.read_bytes()
    done = farm.run("user", "add", "ann", "--role", "operator", "--token")
    assert (done.exit_code, farm.file.read_bytes()) == (1, before)


def test_wrong_usage(farm: Farm) -> None:
    for words in (
        ("user", "add", "ann", "--role", "admin", "--token"),
        ("user", "add", "ann", "--token"),
        ("user", "add", "ann", "--role", "viewer", "--token", "--password-stdin"),
        ("user", "add", "ann", "--role", "viewer"),  # no terminal
    ):
        assert farm.run(*words).exit_code == 2


def test_before_the_first_start_a_change_is_not_in_the_audit_log(farm: Farm) -> None:
    done = farm.run("user", "add", "ann", "--role", "viewer", "--token")
    assert done.exit_code == 0
    assert "not in the audit log" in done.stderr


def test_a_configuration_without_users_file(farm: Farm) -> None:
    farm.config.write_text(farm.config.read_text().replace('users_file = "users"\n', ""))
    done: Any = farm.run("user", "list")
    assert (done.exit_code, "users_file" in done.stderr) == (1, True)
