"""``[webhooks.NAME]`` and ``[outcomes]`` of a crawler's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.config import read_crawler, warnings
from lbcompanion.errors import ConfigError
from lbcompanion.settings import CrawlerSettings

CRAWLER = '[crawler]\nsecret_file = "farm.secret"\n[sites.main]\norigin = "https://www.example.com"\n'
URL = 'url = "https://hooks.test/in?key=hush"'
SECRET = 'secret_file = "hook.secret"'


def read(folder: Path, more: str) -> CrawlerSettings:
    for name in ("farm", "hook"):
        (folder / f"{name}.secret").write_text(f"the secret of the {name}\n")
        (folder / f"{name}.secret").chmod(0o600)
    file = folder / "crawler.toml"
    file.write_text(CRAWLER + more)
    return read_crawler(file)


def test_a_webhook(tmp_path: Path) -> None:
    limits = "max_events = 7\ntimeout_seconds = 3\nmax_pause_seconds = 60\n"
    found = read(tmp_path, f'[webhooks.shop]\n{URL}\n{SECRET}\noutcome = "lost"\nsites = ["main"]\n{limits}')
    hook = found.webhooks["shop"]
    assert (hook.name, hook.url, hook.secret) == ("shop", "https://hooks.test/in?key=hush", b"the secret of the hook")
    assert (hook.outcome, hook.sites) == ("lost", ("main",))
    assert (hook.max_events, hook.timeout_seconds, hook.max_pause_seconds) == (7, 3, 60)
    assert "hush" not in repr(found)
    assert "the secret" not in repr(found)
    assert not [key for key, _ in warnings(found) if "webhooks" in key]


def test_what_can_be_read_by_others_is_warned_of(tmp_path: Path) -> None:
    found = read(tmp_path, f'[webhooks.shop]\nurl = "http://hooks.test/in?key=hush"\n{SECRET}')
    (tmp_path / "hook.secret").chmod(0o644)
    told = dict(warnings(found))
    assert {"webhooks.shop.url", "webhooks.shop.secret_file"} <= set(told)
    assert "hush" not in str(told)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9:8080", "[::1]:80", "localhost", "LOCALHOST:1"])
def test_http_to_this_machine_is_not_warned_of(tmp_path: Path, host: str) -> None:
    found = read(tmp_path, f'[webhooks.shop]\nurl = "http://{host}/in"\n{SECRET}')
    assert "webhooks.shop.url" not in dict(warnings(found))


@pytest.mark.parametrize(
    ("text", "key", "value", "right"),
    [
        (URL, "shop.secret_file", "missing", ""),
        (SECRET, "shop.url", "missing", "absolute URL"),
        *(
            (f'{SECRET}\nurl = "{url}"', "shop.url", "not such a URL", "without user")
            for url in ("https://h", "h/x", "https://hush@h/", "https://h/#hush", "ftp://h/", "https://h/hush ä")
        ),
        (f'{SECRET}\nurl = "https://h:0/hush"', "shop.url", "https://h:0", "origin"),
        (f'{URL}\nsecret_file = "farm.secret"', "shop.secret_file", "the farm's secret", "of its own"),
        (f'{URL}\n{SECRET}\nsites = ["x"]', "shop.sites", "x", "[sites.NAME]"),
        (f'{URL}\n{SECRET}\noutcome = "open"', "shop.outcome", "open", "lost"),
        (f"{URL}\n{SECRET}\ntimeout_seconds = 90", "shop.timeout_seconds", "90", "60"),
        (f"{URL}\n{SECRET}\nmax_events = 0", "shop.max_events", "0", "1"),
        (f"{URL}\n{SECRET}\n[webhooks.'a.b']", "a.b", "no such name", "letters"),
    ],
)
def test_a_wrong_webhook_is_refused(tmp_path: Path, text: str, key: str, value: str, right: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, f"[webhooks.shop]\n{text}\n")
    assert refused.value.key == f"webhooks.{key}"
    assert value in refused.value.value
    assert right in refused.value.allowed
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("keep_days = 0", "keep_days"),
        ("keep_count = 0", "keep_count"),
        ("streams = -1", "streams"),
        ("heartbeat_seconds = 0", "heartbeat_seconds"),
        ("stalled_seconds = 0", "stalled_seconds"),
    ],
)
def test_wrong_limits_of_outcomes_are_refused(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, f"[outcomes]\n{text}\n")
    assert refused.value.key == f"outcomes.{key}"
