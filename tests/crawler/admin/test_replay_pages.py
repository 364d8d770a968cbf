from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.admin_server import ORIGIN, RecordedPages, requisite
from tests.support.archives import NOW

PNG = b"\x89PNG\r\n\x1a\nx"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPages]:
    found = RecordedPages(tmp_path_factory.mktemp("archive"))
    yield found
    found.close()


def addresses(body: bytes) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]*)"', body.decode())


@pytest.mark.slow
def test_a_page_and_its_files_come_from_the_recording(pages: RecordedPages) -> None:
    css = requisite("/a.css", b"body { background: url(b.png) } @import 'c.css';", "text/css; charset=latin1")
    token = pages.record(
        b"<link rel=stylesheet href=/a.css><img src=b.png>", "/", (css, requisite("/b.png", PNG, "image/png"))
    )
    status, fields, body = pages.get(f"/replay/{token}/")
    assert status == 200
    assert fields["content-type"] == "text/html; charset=utf-8"
    assert fields["content-security-policy"].startswith("sandbox allow-same-origin; default-src 'none'; script-src")
    style, image = sorted(addresses(body), reverse=True)
    status, fields, body = pages.get(style)
    assert (status, fields["content-type"]) == (200, "text/css; charset=utf-8")
    assert body.decode() == f'body {{ background: url("{image}") }} @import "about:invalid";'
    status, fields, body = pages.get(image)
    assert (status, fields["content-type"], body) == (200, "image/png", PNG)
    assert fields["content-security-policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.slow
def test_each_recording_shows_its_own_version_of_a_file(pages: RecordedPages) -> None:
    versions = [requisite("/a.css", b"a { color: %s }" % color, "text/css") for color in (b"red", b"blue", b"red")]
    tokens = [
        pages.record(b"<link rel=stylesheet href=a.css>%d" % at, "/", (each,)) for at, each in enumerate(versions)
    ]
    shown = []
    for token in tokens:
        (address,) = addresses(pages.get(f"/replay/{token}/")[2])
        shown.append(pages.get(address)[2])
    assert shown == [each.body for each in versions]  # the third is a revisit of the first


def test_the_bytes_of_a_file_may_be_those_of_a_page(pages: RecordedPages) -> None:
    body = b"a { color: red }"
    first = pages.record(body)
    token = pages.record(
        b"<link rel=stylesheet href=a.css>", "/x", (requisite("/a.css", body, "text/css"),), at=NOW + 9
    )
    (address,) = addresses(pages.get(f"/replay/{token}/")[2])
    assert pages.get(address)[2] == body
    assert pages.get(f"/replay/{first}/")[2] == body


def test_what_is_missing_is_shown_with_its_reason(pages: RecordedPages) -> None:
    token = pages.record(b"<img src=gone.png>", missing={f"{ORIGIN}/gone.png": "404 of the <node>"})
    body = pages.get(f"/replay/{token}/")[2]
    assert b'title="Not recorded: 404 of the &lt;node&gt;"' in body
    (address,) = addresses(body)
    status, fields, drawing = pages.get(address)
    assert (status, fields["content-type"]) == (200, "image/svg+xml")
    assert b"404 of the &lt;node&gt;" in drawing
    files = pages.get(f"/recording/{token}/files")[2]
    assert b"404 of the &lt;node&gt;" in files


@pytest.mark.slow
def test_a_file_that_a_limit_kept_out_comes_from_a_recording_near_it(pages: RecordedPages) -> None:
    image = requisite("/a.png", PNG, "image/png")
    limited = {f"{ORIGIN}/a.png": "more than 1 files", f"{ORIGIN}/b.png": "404"}
    pages.record(b"<img src=a.png>", "/1", (image, requisite("/b.png", PNG, "image/png")))
    token = pages.record(b"<img src=a.png><img src=b.png>", "/2", missing=limited)
    given, other = addresses(pages.get(f"/replay/{token}/")[2])
    assert pages.get(given)[2] == PNG
    assert other.startswith(f"/replay/{token}/missing?")
    assert b"shown from a recording of about the same time" in pages.get(f"/recording/{token}/files")[2]


@pytest.mark.slow
def test_a_link_leads_to_the_nearest_recording_of_the_same_visitor(pages: RecordedPages) -> None:
    token = pages.record(b"<a href=/b#x>", "/a", visitor="v1", at=NOW + 100)
    mine = [pages.record(b"%d" % at, "/b", visitor="v1", at=NOW + at) for at in (10, 150, 900)]
    pages.record(b"other", "/b", visitor="v2", at=NOW + 101)
    (address,) = addresses(pages.get(f"/replay/{token}/")[2])
    status, fields, _ = pages.get(address.partition("#")[0])
    assert (status, fields["location"]) == (302, f"/replay/{mine[1]}/")


def test_a_link_to_what_is_not_recorded_says_so(pages: RecordedPages) -> None:
    token = pages.record(
        b"<a href=/gone><a href='http://other.test/'><a href='javascript:alert(1)'><a href=mailto:a@b>"
    )
    found = [pages.get(each) for each in addresses(pages.get(f"/replay/{token}/")[2])]
    assert [status for status, _, _ in found] == [404] * 4
    assert all(b"Not recorded" in body for _, _, body in found)
    assert b"runs a script" in found[2][2]
    assert all("script" not in address for _, _, body in found for address in addresses(body))


@pytest.mark.parametrize("path", ["file?url=http://x/", "style/utf-8?url=http://x/", "file", "style/nonsense", "x"])
def test_what_a_recording_does_not_have_is_not_found(pages: RecordedPages, path: str) -> None:
    assert pages.get(f"/replay/{pages.record(b'x')}/{path}")[0] == 404


@pytest.mark.parametrize(
    "kind", ["text/html", "application/xhtml+xml", "text/xml", "application/pdf", "text/plain", ""]
)
def test_a_file_is_never_a_document(pages: RecordedPages, kind: str) -> None:
    token = pages.record(b"x", "/", (requisite("/f", b"<script>", kind),))
    status, fields, _ = pages.get(f"/replay/{token}/file?url={ORIGIN}/f")
    assert (status, fields["content-type"]) == (200, "application/octet-stream")
    assert fields["content-security-policy"].startswith("sandbox; default-src 'none'")


def test_fields_of_the_recorded_head_are_not_sent(pages: RecordedPages) -> None:
    given = ("Link", "Refresh", "Report-To", "NEL", "SourceMap", "Set-Cookie", "Clear-Site-Data", "Location")
    token = pages.record(b"x", fields=tuple((name, "<http://evil.test/>; rel=preload") for name in given))
    fields = pages.get(f"/replay/{token}/")[1]
    assert not fields.keys() & {name.lower() for name in given}
    assert b"Clear-Site-Data" in pages.get(f"/recording/{token}/headers")[2]


def test_the_source_is_escaped_and_masks_are_marked(pages: RecordedPages) -> None:
    token = pages.record(b"<b>\r\n<input type=password value=''>\n<script>x</script>")
    body = pages.get(f"/recording/{token}/source")[2].decode()
    assert (
        '<mark title="A mask may have emptied this element">&lt;input type=password value=&#39;&#39;&gt;</mark>' in body
    )
    assert "1 element is marked" in body
    assert '<span class="dim">    3</span>  &lt;script&gt;' in body


def test_scripts_that_do_not_run_are_named(pages: RecordedPages) -> None:
    for body, shown in (
        (b"<script>a()</script>", b"1 script does not run"),
        (b"<script></script>" * 2, b"2 scripts do not"),
    ):
        token = pages.record(body)
        assert shown in pages.get(f"/recording/{token}/files")[2]
    token = pages.record(b"<p>a")
    assert b"not run in the replay" not in pages.get(f"/recording/{token}/files")[2]


def test_a_refresh_is_named_and_not_done(pages: RecordedPages) -> None:
    token = pages.record(b'<meta http-equiv=refresh content="5; url=/next">')
    assert pages.get(f"/replay/{token}/")[2] == b""
    assert b"After 5 s the page goes on to" in pages.get(f"/recording/{token}/files")[2]
