"""ReplayWeb.page in a real browser shows each page of the list as it was."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import context as context  # noqa: PLC0414 - a fixture
from tests.support.replay_web_page import replay_web_page
from tests.support.wacz_packages import FORM, package

pytestmark = pytest.mark.browser
PAGES = [
    ("GET", FORM, b"<p>the form"),
    ("POST", FORM, b"<p>first result"),
    ("GET", FORM, b"<p>the form again"),
    ("POST", FORM, b"<p>second result"),
    ("POST", f"{FORM}?step=2", b"<p>with a query"),
    ("GET", FORM, b"<p>the form"),
    ("POST", "http://www.example.com/only", b"<p>only by POST"),
    ("GET", "http://www.example.com/other/", b"<p>the form"),
]


def test_each_page_of_the_list_is_shown(tmp_path: Path, context: Any) -> None:
    path = package(tmp_path, PAGES)
    with zipfile.ZipFile(path) as content:
        listed = [json.loads(line) for line in content.read("pages/pages.jsonl").splitlines()[1:]]
    with replay_web_page(path) as player:
        page = context.new_page()
        shown = [player.text(page, each["url"], each["ts"]) for each in listed]
        page.close()
    assert shown == [body.removeprefix(b"<p>").decode() for _, _, body in PAGES]
