"""Session ids in addresses: which are left out, and what stays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.sticky.address_sessions import without_session_ids

ID = "74435D7521AB2DB84438C822714F5759"
SITE = "http://www.example.com"


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        (f"/a.css;jsessionid={ID}", "/a.css"),
        (f"/a.css;JSESSIONID={ID}.n2?v=1", "/a.css?v=1"),
        (f"/x;jsessionid={ID}/a.css;v=1", "/x/a.css;v=1"),
        (f"/a.css;v=1;jsessionid={ID}!12345!67890", "/a.css;v=1"),
        (f"/a.css?PHPSESSID={ID.lower()}", "/a.css"),
        (f"/a.css?v=1&sid={ID}&w=2", "/a.css?v=1&w=2"),
        (f"/a.css?osCsessid={ID}", "/a.css"),
        (f"/a.css?%50HPSESSID={ID}", "/a.css"),
        (f"/a.css?v=1;CGISESSID={ID}", "/a.css?v=1"),
        (f"/a.css?CGISESSID={ID};v=1;w=2", "/a.css?v=1;w=2"),
        (f"/a.css?v=1;PHPSESSID={ID};sid={ID}&w=2", "/a.css?v=1&w=2"),
        ("/app/(S(lit3py55t21z5v55vlm25s55))/a.css", "/app/a.css"),
        ("/(F(Zx8abcdefghijklmnopqrstu-_V1))/a.css", "/a.css"),
        ("/(A(Zx8abcdefghijklmnopqrstu)X(1))/a.css", "/a.css"),
        ("/(X(1)S(lit3py55t21z5v55vlm25s55))/a.css", "/a.css"),
        ("/%28S%28lit3py55t21z5v55vlm25s55%29%29/a.css", "/a.css"),
    ],
)
def test_the_id_of_a_session_is_left_out(target, kept):
    assert without_session_ids(SITE + target) == SITE + kept


@pytest.mark.parametrize(
    "target",
    [
        *(
            "",
            "/",
            "/a.css",
            "/a.css?",
            "/a.css?v=1",
            "/a.css;v=1",
            "/(a)/b.css",
            "/(X(1))/b.css",
            "/a?sid=3",
            "/a?b&&c",
            "/a?b;;c=1;d=2",
            "/a?;b=1",
        ),
        *("/a?b&&c", "/a;jsessionid=n2", "/talks?session=monday-morning", f"/a.png?v={ID}", f"/a.png?signature={ID}"),
        *(f"/a.png?token={ID}", f"/a.png?lb_session={ID}", f"/{ID}/a.png"),
    ],
)
def test_all_else_stays(target):
    assert without_session_ids(SITE + target) == SITE + target


@given(st.text("abS();=?&/%28jsessionid0123456789", max_size=60))
def test_nothing_is_added_or_moved(target):
    found = without_session_ids(f"{SITE}/{target}")
    assert found.startswith(SITE)
    remaining = iter(f"{SITE}/{target}")
    assert all(character in remaining for character in found)
