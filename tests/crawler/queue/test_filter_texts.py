from __future__ import annotations

import pytest

from lbcompanion.crawler.queue.filter_texts import FILTER_NAMES, BadFilter, read_filters
from lbcompanion.crawler.queue.filters import Filters, Pattern

ANN = "v1" + "a" * 22


def test_each_filter_is_read() -> None:
    texts = {
        **{"url": "https://shop/*", "from": "2026-11-23", "to": "2026-11-23T02:00:00 02:00", "node": "n1"},
        **{"route": "own", "outcome": "null", "reason": "*tls*", "status": "404", "method": "POST", "visitor": ANN},
        **{"title": "cart", "site": "main"},
    }
    assert set(texts) == set(FILTER_NAMES)
    assert read_filters(texts) == Filters(
        url=Pattern("https://shop/", begins=True),
        start=1795392000.0,
        end=1795392000.0,
        node="n1",
        route="own",
        outcome="open",
        reason=Pattern("tls", contains=True),
        status=404,
        method="POST",
        visitors=(ANN,),
        title="cart",
        site="main",
    )
    assert read_filters(dict.fromkeys(FILTER_NAMES, "")) == Filters()


@pytest.mark.parametrize("text", ["v1aaaaaa", "v1aaaaaa*", "v1aaaaaa\u2026"])
def test_a_visitor_may_be_named_as_the_lists_show_it(text: str) -> None:
    assert read_filters({"visitor": text}) == Filters(visitor_begins="v1aaaaaa")


def test_a_visitor_may_be_read_otherwise() -> None:
    assert read_filters({"visitor": ANN[:8]}, lambda text: (text,)) == Filters(visitors=(ANN[:8],))
    assert read_filters({"visitor": "x"}, lambda _text: ()).visitors == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("status", text) for text in ("ok", "20", "2000", "\u0662\u0660\u0660", "-20")),
        *(("from", "yesterday"), ("to", "2026-11-23T21:10:00"), ("from", "2026-13-01"), ("to", "9" * 40)),
        *(("outcome", "maybe"), ("url", "*cart"), ("reason", "*x"), ("node", "n\x00"), ("title", "\ud800")),
    ],
)
def test_wrong_filters(name: str, text: str) -> None:
    with pytest.raises(BadFilter, match=f"^{name}: "):
        read_filters({name: text})
