"""The HTML and the assets of the demo's shop."""

from __future__ import annotations

from lbcompanion.demo.pages import ARTICLES, asset, goods, page, rows


def test_a_page_names_its_node_and_escapes_its_title() -> None:
    made = page("<Orders>", "<p>body</p>", "n1", "1.0", "unique")
    assert b"<title>&lt;Orders&gt; - the corner shop</title>" in made
    assert b'<body data-node="n1" data-version="1.0">' in made
    assert b"<p>body</p>" in made


def test_an_asset_has_the_name_and_the_version_of_its_node() -> None:
    found = asset("/static/style.css", "n2", "1.1")
    assert found is not None
    content_type, body = found
    assert content_type.startswith(b"text/css")
    assert b"style of n2, version 1.1" in body
    assert asset("/static/none.css", "n2", "1.1") is None


def test_each_row_has_a_link() -> None:
    assert rows([7, 8], "order").count('<a href="/order/') == 2


def test_a_deploy_changes_the_look_and_the_prices() -> None:
    assert b"Winter sale" not in page("Home", "", "n1", "n1-1.0", "u")
    assert b"Winter sale" in page("Home", "", "n1", "n1-1.1", "u")
    assert asset("/static/style.css", "n1", "n1-1.0") != asset("/static/style.css", "n1", "n1-1.1")
    assert "39.00" in goods([0], "n1-1.0")
    assert "31.20" in goods([0], "n1-1.1")


def test_each_article_has_its_picture() -> None:
    found = {asset(f"/static/goods/{number}.svg", "n1", "1.0") for number in range(len(ARTICLES))}
    assert None not in found
    assert len(found) == len(ARTICLES)
    assert asset(f"/static/goods/{len(ARTICLES)}.svg", "n1", "1.0") is None
    assert goods([3, 3 + len(ARTICLES)], "1.0").count('src="/static/goods/3.svg"') == 2
