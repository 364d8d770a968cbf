from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.admin.export_names import export_name

NOON = 1_795_781_109.9


@pytest.mark.parametrize(
    ("urls", "last", "name"),
    [
        (["https://www.example.com/a?b"], NOON, "page-www.example.com-2026-11-27-120509Z.wacz"),
        (
            ["http://127.0.0.1:8080/", "http://127.0.0.1:8080/a"],
            NOON + 60,
            "page-127.0.0.1-8080-2026-11-27-120509Z-to-2026-11-27-120609Z.wacz",
        ),
        (["http://[::1]:80/"], NOON, "page-1-80-2026-11-27-120509Z.wacz"),
        (["http://a/", "http://b/", "https://b/"], NOON, "page-2-hosts-2026-11-27-120509Z.wacz"),
        (["http://.../"], NOON, "page-site-2026-11-27-120509Z.wacz"),
    ],
)
def test_a_name_has_host_and_times(urls: list[str], last: float, name: str) -> None:
    assert export_name("page", urls, NOON, last) == name


@given(st.text(max_size=300).map(lambda text: text.replace("/", "")))
def test_a_name_is_safe_whatever_the_host(host: str) -> None:
    name = export_name("walk-of-v1Aa_-aa", [f"http://{host}/"], NOON, NOON)
    assert re.fullmatch(r"walk-[A-Za-z0-9._-]{1,180}\.wacz", name)
