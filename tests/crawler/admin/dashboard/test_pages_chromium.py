"""A real browser that shows a recording asks nothing of anybody but the crawler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import treq
from treq.testing import StubTreq
from twisted.internet.task import Clock

from tests.support.crawler_api import admin_resource
from tests.support.fixed_server import Answers, Server
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.browser

#: ``{away}`` is the origin of the page's author.
MARKUP = """<!DOCTYPE html><html><head>
<link rel="stylesheet" href="{away}/css"><link rel="icon" href="{away}/icon">
<link rel="prefetch" href="{away}/prefetch"><link rel="preload" as="image" href="{away}/preload">
<link rel="modulepreload" href="{away}/module">
<link rel="manifest" href="{away}/manifest"><script src="{away}/script"></script>
<base href="{away}/base/">
<meta http-equiv="refresh" content="0;url={away}/refresh"><script>fetch("{away}/inline")</script>
<style>@import "{away}/import"; @font-face {{ font-family: f; src: url({away}/font) }} body {{ font-family: f;
background: url({away}/background) }}</style></head>
<body onload="new Image().src='{away}/onload'" style="color: rgb(1, 2, 3)"><p id="text">as it was</p>
<img src="{away}/img" srcset="{away}/srcset 2x" onerror="new Image().src='{away}/onerror'">
<img src="relative">
<picture><source srcset="{away}/picture"><img src="{away}/picture-img"></picture>
<iframe src="{away}/frame"></iframe><iframe srcdoc="<img src='{away}/srcdoc'>"></iframe>
<object data="{away}/object"></object><embed src="{away}/embed">
<video src="{away}/video" poster="{away}/poster" autoplay></video>
<audio src="{away}/audio" autoplay></audio><svg><image href="{away}/svg"/><use href="{away}/use#x"/>
</svg><input type="image" src="{away}/input">
<form id="f" action="{away}/form"><input name="x"></form><a href="{away}/ping" ping="{away}/ping">x</a>
<img src="data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==" id="own"></body>
</html>"""


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    crawler, away = Server(), Server()
    yield crawler, away
    crawler.close()
    away.close()


def archived(folder: Path, markup: str) -> tuple[str, Answers]:
    """Archive a page; return its token and the admin listener's answers about it."""
    farm = SimulatedFarm(("n1",))
    rig = InMemoryCrawler(farm, folder)
    token = farm.nodes["n1"].capture(markup.encode())
    rig.take(token, {"SRV": "n1"})
    admin = admin_resource(rig)
    http = StubTreq(admin)
    answers: Answers = {}
    bytes_alone, replay = f"/api/recordings/{token}/page", f"/replay/{token}/"
    for path in (f"/recording/{token}", bytes_alone, replay, "/dashboard.css", "/dashboard.js"):
        found: list[Any] = []
        http.get(f"http://127.0.0.1{path}", reactor=Clock()).addCallback(found.append)
        treq.content(found[0]).addCallback(found.append)
        fields = {name.decode(): values[0].decode() for name, values in found[0].headers.getAllRawHeaders()}
        fields.pop("Content-Length", None)
        answers[path] = (found[0].code, fields, found[1])
    rig.close()
    return token, answers


def test_a_shown_recording_loads_nothing(tmp_path: Path, servers: tuple[Server, Server], page: Any) -> None:
    crawler, away = servers
    token, crawler.answers = archived(tmp_path, MARKUP.format(away=away.origin))
    for path in (f"/recording/{token}", f"/api/recordings/{token}/page"):
        page.goto(crawler.origin + path)
        page.wait_for_timeout(1500)
        shown = next(each for each in page.frames if each.url.endswith(("/page", f"/replay/{token}/")))
        assert shown.locator("#text").inner_text() == "as it was"
        assert shown.locator("#own").count() == 1
    assert away.asked == []
    others = (f"/replay/{token}/missing", f"/replay/{token}/frame")  # which this server does not have
    assert {path.partition("?")[0] for path in crawler.asked} <= {*crawler.answers, "/icon.svg", *others}
