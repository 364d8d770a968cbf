"""Listeners that exclude each other: the error names the file and the key, and no port is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checked_configuration import (
    GOOD_NODE,
    NODE,
    assert_crawler_error,
    error_of,
    folder_with_files,
)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return folder_with_files(tmp_path)


@pytest.mark.parametrize(
    ("changed", "key", "why"),
    [
        ({"listen": '["tcp:8080", "tcp:8080:interface=127.0.0.1"]'}, "node.listen", ""),
        ({"listen": '["tcp:8080:interface=10.0.0.1", "tcp:8080:interface=0.0.0.0"]'}, "node.listen", ""),
        ({"listen": '["tcp:8080", "tcp:8080:interface=\\\\\\\\:\\\\\\\\:"]'}, "node.listen", ""),
        ({"listen": '["tcp6:8080:interface=0\\\\:\\\\:1", "tcp6:8080:interface=\\\\:\\\\:1"]'},
         "node.listen", ""),
        ({"listen": '["tcp:8080", "haproxy:tcp:8080:backlog=9"]'}, "node.listen", ""),
        ({"listen": '["unix:a.sock", "unix:./a.folder/../a.sock:mode=660"]'}, "node.listen", ""),
        ({"admin": "tcp:8080"}, "node.admin", ""),
        ({"admin": "tcp:8080:interface=127.0.0.1"}, "node.admin", ""),
        ({"listen": '["tcp:9101"]'}, "node.admin", ""),
        ({"upstream": "tcp:127.0.0.1:8080"}, "node.upstream", "this is the listener node.listen"),
        ({"upstream": "tcp:localhost:8080"}, "node.upstream", ""),
        ({"upstream": "tcp:127.0.0.5:8080"}, "node.upstream", ""),
        ({"upstream": "tcp:0.0.0.0:8080"}, "node.upstream", ""),
        ({"upstream": "tcp:10.0.0.1:8080", "listen": '["tcp:8080:interface=10.0.0.1"]'}, "node.upstream", ""),
        ({"upstream": "tcp:127.0.0.1:9101"}, "node.upstream", "node.admin"),
        ({"upstream": "unix:a.sock", "listen": '["unix:a.sock"]'}, "node.upstream", ""),
    ],
)  # fmt: skip
def test_a_node_with_listeners_that_exclude_each_other(
    folder: Path, changed: dict[str, str], key: str, why: str
) -> None:
    error = error_of(folder, NODE.format(**GOOD_NODE | changed))
    assert error is not None
    assert error.key == key
    assert why in str(error)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"listen": '["tcp:8080:interface=127.0.0.1", "tcp:8080:interface=127.0.0.2", "tcp:8081"]'},
        {"listen": '["tcp:8080", "tcp6:8080:interface=\\\\:\\\\:1"]'},
        {"listen": '["tcp:0", "tcp:0:backlog=5"]', "admin": "tcp:0"},
        {"listen": '["unix:a.sock", "unix:b.sock"]'},
        {"listen": '["systemd:domain=INET:index=0"]'},
        {"upstream": "tcp:10.0.0.1:8080"},
        {"upstream": "tcp:127.0.0.1:8080", "listen": '["tcp:8080:interface=10.0.0.1"]'},
        {"upstream": "tcp:app.example:8080"},
        {"upstream": "unix:app.sock"},
    ],
)
def test_a_node_with_listeners_that_go_together(folder: Path, changed: dict[str, str]) -> None:
    assert error_of(folder, NODE.format(**GOOD_NODE | changed)) is None


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"admin": "tcp:9200:interface=127.0.0.2"}, "crawler.admin"),
        ({"admin": "tcp:9200:interface=127.0.0.1"}, "crawler.admin"),
    ],
)
def test_a_crawler_with_listeners_that_exclude_each_other(folder: Path, changed: dict[str, str], key: str) -> None:
    assert_crawler_error(folder, changed, key)
