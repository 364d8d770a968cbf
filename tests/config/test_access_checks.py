from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbcompanion.config.access_checks import access_warnings, check_access, is_local
from lbcompanion.settings import CrawlerTable

LOCAL, WIDE = "tcp:9201:interface=127.0.0.1", "tcp:9201"
PROXIES = {"admin_proxies": ("10.0.0.0/8",)}
HEADER = {"forward_auth_header": "X-User", "forward_auth_role_header": "X-Role"}


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        (LOCAL, True),
        ("tcp:9201:interface=127.0.0.9", True),
        ("tcp:9201:interface=localhost", True),
        (r"tcp6:9201:interface=\:\:1", True),
        ("unix:/run/admin.sock", True),
        (WIDE, False),
        ("tcp6:9201", False),
        ("tcp:9201:interface=0.0.0.0", False),
        (r"tcp:9201:interface=\:\:", False),
        ("tcp:9201:interface=10.0.0.1", False),
        ("ssl:9201:privateKey=k.pem", False),
        ("ssl:9201:privateKey=k.pem:interface=127.0.0.1", True),
    ],
)
def test_local_endpoints(endpoint: str, local: bool) -> None:
    assert is_local(endpoint) is local


@pytest.mark.parametrize(
    ("admin", "values", "keys"),
    [
        (LOCAL, {}, []),
        (WIDE, {}, ["crawler.admin"]),
        ("", {}, []),
        (WIDE, {"users_file": None}, ["crawler.admin"]),
        (WIDE, {"users_file": "users"}, []),
        (WIDE, {"admin_without_users": True}, []),
        (WIDE, {**HEADER, **PROXIES}, []),
        (LOCAL, HEADER, ["crawler.admin_proxies"]),
        ("unix:/run/admin.sock", HEADER, []),
        (LOCAL, {"forward_auth_header": "X-User", **PROXIES}, ["crawler.forward_auth_role_header"]),
        (LOCAL, {"forward_auth_header": "X-User", "users_file": "users", **PROXIES}, []),
        (LOCAL, {"forward_auth_role_header": "X-Role"}, ["crawler.forward_auth_role_header"]),
        (LOCAL, {**HEADER, **PROXIES, "forward_auth_header": "Cookie"}, ["crawler.forward_auth_header"]),
        (LOCAL, {**HEADER, **PROXIES, "forward_auth_role_header": "HOST"}, ["crawler.forward_auth_role_header"]),
        (LOCAL, {**HEADER, **PROXIES, "forward_auth_role_header": "x-user"}, ["crawler.forward_auth_role_header"]),
        (LOCAL, {"replay_scripts_origin": "https://r.test"}, ["crawler.replay_scripts_origin"]),
        (LOCAL, {"replay_scripts": "tcp:9202"}, []),
        (LOCAL, {"replay_scripts": "unix:/run/scripts.sock"}, ["crawler.replay_scripts_origin"]),
        (LOCAL, {"replay_scripts": "ssl:9202:privateKey=k.pem"}, ["crawler.replay_scripts_origin"]),
        (LOCAL, {"replay_scripts": "unix:/run/scripts.sock", "replay_scripts_origin": "https://r.test"}, []),
    ],
)
def test_rules_about_several_keys(admin: str, values: dict[str, Any], keys: list[str]) -> None:
    found: list[str] = []
    check_access(values, admin, lambda key, _value, _allowed: found.append(key))
    assert found == keys


def test_warnings(tmp_path: Path) -> None:
    def keys(**settings: Any) -> list[str]:
        table = CrawlerTable(secret_file=tmp_path, secret=b"", **settings)
        return [key for key, _ in access_warnings(table)]

    assert keys() == []
    assert keys(admin=WIDE, admin_without_users=True) == ["crawler.admin"]
    assert keys(users_file=tmp_path / "none") == ["crawler.users_file"]
    assert keys(admin=WIDE, users_file=tmp_path) == []
