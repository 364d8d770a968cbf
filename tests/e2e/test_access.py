"""The commands and programs that use the API of a running crawler with users."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crawler_with_users import OPERATOR_TOKEN, VIEWER_TOKEN, CrawlerWithUsers


@pytest.fixture(name="crawler", scope="module")
def _crawler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrawlerWithUsers]:
    made = CrawlerWithUsers(tmp_path_factory.mktemp("crawler"), "login_failures = 100")
    yield made
    made.close()


def command(
    crawler: CrawlerWithUsers, *words: str, given: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lbcompanion.cli", *words, "--config", str(crawler.config)],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
        check=False,
    )


def test_erase_while_the_crawler_runs(crawler: CrawlerWithUsers) -> None:
    words = ("erase", "--before", "2001-01-01", "--json")
    done = command(crawler, *words)
    assert json.loads(done.stdout)["recordings"] == 0, done.stderr
    assert crawler.audit(action="erase")[-1] == ("command", "command", "erase", "allowed")
    own = crawler.folder / "state" / "admin.token"
    hidden = own.with_suffix(".hidden")
    own.rename(hidden)
    try:
        refused = command(crawler, *words)
        assert refused.returncode == 1
        assert "--token-file" in refused.stderr
        assert command(crawler, *words, LBC_TOKEN=VIEWER_TOKEN).returncode == 1
        assert command(crawler, *words, LBC_TOKEN=OPERATOR_TOKEN).returncode == 0
        file = crawler.folder / "token"
        file.write_text(f"{OPERATOR_TOKEN}\n")
        assert command(crawler, *words, "--token-file", str(file)).returncode == 0
    finally:
        hidden.rename(own)
    found = crawler.audit(action="erase")
    assert found[-2:] == [("olga", "token", "erase", "allowed")] * 2
    assert ("vera", "token", "erase", "refused") in found


def test_users_change_while_the_crawler_runs(crawler: CrawlerWithUsers) -> None:
    assert crawler.ask("GET", "/api/stats", "wrong")[0] == 401
    token = command(crawler, "user", "add", "app", "--role", "viewer", "--token").stdout.strip()
    assert crawler.ask("GET", "/api/stats", token)[0] == 200
    renewed = command(crawler, "user", "set-token", "app").stdout.strip()
    assert crawler.ask("GET", "/api/stats", token)[0] == 401
    assert crawler.ask("GET", "/api/stats", renewed)[0] == 200
    assert command(crawler, "user", "remove", "app").returncode == 0
    assert crawler.ask("GET", "/api/stats", renewed)[0] == 401
    actions = [line[2] for line in crawler.audit(how="command") if line[2] != "erase"]
    assert actions == ["add user", "set token", "remove user"]


def test_a_password_of_real_cost_does_not_stop_the_crawler(crawler: CrawlerWithUsers) -> None:
    """Passwords are checked on a thread: meanwhile the crawler answers others."""
    added = command(crawler, "user", "add", "ben", "--role", "viewer", "--password-stdin", given="a real password\n")
    assert added.returncode == 0, added.stderr
    form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": "http://localhost"}
    lines = [http.client.HTTPConnection("127.0.0.1", crawler.port, timeout=60) for _ in range(4)]
    try:
        for line in lines:
            line.request("POST", "/login", "name=ben&password=a+real+password", {"Host": "localhost", **form})
        for _ in range(3):
            assert crawler.ask("GET", "/api/stats", VIEWER_TOKEN)[0] == 200
        assert [line.getresponse().status for line in lines] == [303] * 4
    finally:
        for line in lines:
            line.close()


def test_files_are_private(crawler: CrawlerWithUsers) -> None:
    for path in (crawler.users, crawler.folder / "state" / "admin.token", crawler.folder / "crawler.db"):
        assert Path(path).stat().st_mode & 0o077 == 0, path
