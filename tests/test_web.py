"""Parts for twisted.web."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.web.resource import Resource

from lbcompanion.web import BytesProducer, QuietSite


def test_a_site_logs_no_path_and_shows_no_traceback() -> None:
    site = QuietSite(Resource())
    assert (site.noisy, site.displayTracebacks) == (False, False)
    site.log(SimpleNamespace())  # type: ignore[arg-type]  it does not even look at the request


def test_a_body_is_written_at_once() -> None:
    written: list[bytes] = []
    producer = BytesProducer(b"body")
    done = producer.startProducing(SimpleNamespace(write=written.append))  # type: ignore[arg-type]
    assert (producer.length, written, done.called) == (4, [b"body"], True)
