"""The example for PHP: DokuWiki, as Debian packages it, in php-fpm behind nginx, and in Apache's prefork."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from tests.support.example_farm import ExampleFarm, PageView, example_farm
from tests.support.example_visitor import MEGABYTE, ExampleVisitor, visits_to_both_nodes

#: What each variant needs.
PROGRAMS = {"fpm": ("dokuwiki", "php-fpm", "nginx", "haproxy"), "prefork": ("dokuwiki", "apache2-php", "apache2")}


@pytest.fixture(scope="module", params=PROGRAMS)
def farm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleFarm]:
    folder, programs = tmp_path_factory.mktemp(request.param), PROGRAMS[request.param]
    with example_farm("php", folder, *programs, "chromium", variant=request.param) as farm:
        yield farm


def _log_in(visitor: ExampleVisitor, password: str) -> PageView:
    visitor.page.fill("#dw__login input[name=u]", "ada")
    visitor.page.fill("#dw__login input[name=p]", password)
    return visitor.clicks("#dw__login button[type=submit]")


def _look_in(visitor: ExampleVisitor) -> None:
    """Log in, and look at a page."""
    visitor.goes("/doku.php?id=start&do=login")
    _log_in(visitor, "secret")
    visitor.reads("#dokuwiki__usertools", "Logged in as: Ada")
    visitor.goes("/doku.php?id=start")


def _write_page(visitor: ExampleVisitor) -> None:
    """Edit a page, look at the preview, and save it: DokuWiki answers by a redirect then."""
    text = f"====== Cheese of {visitor.node} ======\n\nZoë <b> & more – 日本\n"
    visitor.goes("/doku.php?id=cheese&do=edit")
    visitor.page.fill("#wiki__text", text)
    assert visitor.clicks("#edbtn__preview").method == "POST"
    visitor.reads(".preview", "Zoë <b> & more – 日本")
    visitor.page.fill("#wiki__text", text)
    assert visitor.clicks("#edbtn__save").method == "GET"
    visitor.reads("#dokuwiki__content", "Zoë <b> & more – 日本")


def _work(visitor: ExampleVisitor) -> None:
    """A visit with all that the wiki has."""
    visitor.goes("/")
    visitor.clicks("#dokuwiki__usertools li.login a")
    refused = _log_in(visitor, "wrong")
    assert (refused.method, refused.status) == ("POST", 403)
    # The page shows the password again. The default mask leaves it out of the copy, and nothing else.
    assert refused.body.count(b'value="wrong"') == 1
    visitor.views[-1] = evolve(refused, body=refused.body.replace(b'value="wrong"', b'value=""'))
    visitor.reads(".error", "Sorry, username or password was wrong.")
    assert _log_in(visitor, "secret").method == "GET", "after the log-in comes a redirect"
    visitor.reads("#dokuwiki__usertools", "Logged in as: Ada")
    _write_page(visitor)
    visitor.goes("/doku.php?id=start")
    assert len(visitor.clicks("a[href*='id=big']").body) > MEGABYTE
    visitor.clicks("#dokuwiki__usertools li.logout a")


def test_every_page_of_dokuwiki_is_archived_through_the_balancers_cookie(farm):
    visitors = visits_to_both_nodes(farm, _work, _look_in)
    assert set(farm.routes()) <= {"recorded", "own"}
    # PHP's own session is on one node only.
    assert all("DokuWiki" in visitor.cookies for visitor in visitors)
