from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.fetching.site_addresses import archived_address, site_of_notice, site_origins
from lbcompanion.model import LossCode, LossReason, Notice
from lbcompanion.settings import KnownNode, SiteSettings

SITE = SiteSettings(
    "main", "https://www.example.com", origins=("https://shop.example.com:8443", "http://old.example.com")
)


def code(text: str) -> LossCode | None:
    found = archived_address(text, SITE)
    return found.code if isinstance(found, LossReason) else None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://www.example.com/a?b=1", "https://www.example.com/a?b=1"),
        ("https://WWW.example.COM:443/a", "https://www.example.com/a"),
        ("https://shop.example.com:8443/", "https://shop.example.com:8443/"),
        ("http://old.example.com/x", "http://old.example.com/x"),
        # A balancer that ends TLS and does not say so.
        ("http://www.example.com/x", "https://www.example.com/x"),
        ("http://shop.example.com:8443/x", "https://shop.example.com:8443/x"),
        ('https://www.example.com/<x>"?<y>"', "https://www.example.com/%3Cx%3E%22?%3Cy%3E%22"),
        ("https://www.example.com/\xc3\xbc?x=\xff", "https://www.example.com/%C3%BC?x=%FF"),
    ],
)
def test_addresses_of_the_site(text: str, address: str) -> None:
    assert archived_address(text, SITE) == address


@pytest.mark.parametrize(
    "text",
    [
        *("https://www.bank.example/", "http://www.bank.example/statement", "https://www.example.com.evil.example/"),
        *("https://old.example.com/", "https://www.example.com:8443/", "https://shop.example.com/"),
        *("http://www.example.com:8443/", "https://xn--e1afmkfd.example/"),
    ],
)
def test_foreign_addresses(text: str) -> None:
    assert code(text) is LossCode.FOREIGN_ADDRESS


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "www.example.com/", "ftp://www.example.com/", "javascript:x", "https:www.example.com", "https:///x"),
        *(
            'http://h"><script>alert(4)</script>',
            "https://www.example.com/a b",
            'https://www.example.com"/',
            "https:// /",
        ),
        *(
            "https://www.example.com/\r\nX: y",
            "https://www.example.com/\x00",
            "https://[",
        ),
        *("https://user@www.example.com/", "https://bank.example\\@www.example.com/", "https://www.example.com\\.b/"),
        *(
            "https://www.example.com:x/",
            "https://www.example.com/\u0100",
            "https://\xfcx/",
            "https://%00/",
            "https://a^b/",
        ),
    ],
)
def test_no_addresses(text: str) -> None:
    assert code(text) is LossCode.BAD_ADDRESS


@pytest.mark.slow
@given(st.text(max_size=40), st.sampled_from(["https://www.example.com", "https://", "http://www.bank.example", ""]))
def test_what_is_archived_is_always_of_the_site_and_printable(text: str, start: str) -> None:
    found = archived_address(start + text, SITE)
    if isinstance(found, str):
        assert any(found.startswith(f"{origin}/") for origin in site_origins(SITE))
        assert all("!" <= char <= "~" and char not in '"<>' for char in found)
        assert archived_address(found, SITE) == found
    else:
        assert found.text.isprintable()


def of(page_url: str, url: str, sites: dict[str, SiteSettings], owner: str = "n1") -> str:
    return site_of_notice(Notice("t", url, {}, 0.0, 0.0, page_url), owner, sites)


def test_the_site_of_a_notice_by_its_addresses() -> None:
    two = {"a": SiteSettings("a", "http://www.example.com"), "b": SiteSettings("b", "https://b.example:8443/")}
    assert of("", "https://b.example:8443/x", two) == "b"
    assert of("http://www.example.com:80/y", "https://b.example:8443/x", two) == "a"
    assert of("", "https://else.example/", two) == ""
    assert of("https://else.example/", "https://b.example:8443/", two) == "b"
    assert of("", "https://else.example/", {"a": two["a"]}) == "a"
    further = SiteSettings("c", "https://c.example", origins=("https://d.example",))
    assert of("https://d.example/", "https://b.example:8443/", {**two, "c": further}) == "c"


def test_a_visitor_does_not_choose_among_sites_that_list_their_nodes() -> None:
    a = SiteSettings("a", "https://a.example", nodes={"n1": KnownNode()})
    b = SiteSettings("b", "https://b.example", nodes={"n2": KnownNode(), "n3": KnownNode()})
    c = SiteSettings("c", "https://c.example", nodes={"n3": KnownNode()})
    sites = {"a": a, "b": b, "c": c, "d": SiteSettings("d", "https://d.example")}
    for address in ("https://b.example/", "https://d.example/", "https://evil.example/", "https://a.example/"):
        assert of(address, address, sites, "n1") == "a"
    assert of("https://c.example/", "https://b.example/", sites, "n3") == "c"
    assert of("https://a.example/", "https://b.example/", sites, "n3") == "b"
    assert of("https://a.example/", "https://a.example/", sites, "n3") == ""
    assert of("https://d.example/", "https://d.example/", sites, "n9") == "d"
