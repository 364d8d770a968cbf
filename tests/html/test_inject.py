"""Where the snippets go, page by page: ``{T}`` and ``{B}`` stand in the pages where they are expected."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Refusal
from tests.html.cases.position import PAGES
from tests.support.html_fragments import BOTTOM, FRAGMENTS, TOP, page_of
from tests.support.injecting import WITH_POLICY, filled, run
from tests.support.tags import default_tag


@pytest.mark.parametrize("expected", PAGES)
def test_where_the_snippets_go(expected: str) -> None:
    out, injector = run(page_of(expected))
    assert out == filled(expected)
    assert injector.inserted == ("{T}" in expected)
    assert (injector.refusal is None) == injector.inserted


@pytest.mark.slow
@pytest.mark.parametrize("expected", PAGES)
def test_every_single_cut_gives_the_same(expected: str) -> None:
    page = page_of(expected)
    places = range(1, len(page)) if len(page) < 300 else [*range(1, 60), *range(900, len(page), 7)]
    for cut in places:
        assert run(page, [cut])[0] == filled(expected), cut
    if len(page) < 300:
        assert run(page, list(range(1, len(page))))[0] == filled(expected)


FLAGS = st.fixed_dictionaries({"xhtml": st.booleans(), "charset_known": st.booleans(), "needs_document": st.booleans()})


@given(FRAGMENTS, st.data(), FLAGS)
def test_any_cut_same_output_and_without_snippets_the_page(
    page: bytes, data: st.DataObject, flags: dict[str, bool]
) -> None:
    whole, injector = run(page, **flags)
    cuts = data.draw(st.lists(st.integers(0, len(page)), max_size=8))
    again, other = run(page, cuts, **flags)
    assert again == whole
    assert (other.inserted, other.refusal) == (injector.inserted, injector.refusal)
    assert whole.replace(TOP, b"").replace(BOTTOM, b"") == page
    assert injector.refusal is not Refusal.FAILED


@given(FRAGMENTS, st.integers(0, 400))
def test_a_page_cut_off_loses_nothing(page: bytes, cut: int) -> None:
    injector = Injector(TOP, BOTTOM)
    out = injector.feed(page[:cut]) + injector.flush() + injector.feed(page[cut:]) + injector.finish()
    assert out.replace(TOP, b"").replace(BOTTOM, b"") == page


class TestXhtml:
    START = '<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x" "y">\n<html xmlns="http://www.w3.org/1999/xhtml">'

    @pytest.mark.parametrize(
        "rest",
        [
            "<head>{T}<title>x</title></head><body>y{B}</body></html>",
            "<head>{T}<title/></head><body><script><![CDATA[ </body> ]]></script>{B}</body></html>",
            "<head>{T}<title/></head><body><script/>{B}</body></html>",
            "<head>{T}<title/></head><body><!-- </body> -->{B}</body></html>",
            "<head>{T}<title/></head><!-- nothing behind the end -->",
            "<head/><body></body></html>",
        ],
    )
    def test_it_stays_well_formed(self, rest: str) -> None:
        expected = self.START + rest
        assert run(page_of(expected), xhtml=True)[0] == filled(expected)

    @pytest.mark.parametrize(
        "subset",
        [
            "<!ENTITY a '<head>'>",
            '<!ENTITY a "]>"><!ENTITY % b "x"> %b; ',
            "<!-- it's ]> -->",
            "<?x ' ]> ?>",
            "<!ATTLIST html a CDATA #IMPLIED>\n",
            "",
        ],
    )
    def test_an_internal_subset(self, subset: str) -> None:
        expected = f'<!DOCTYPE html [{subset}]>\n<html xmlns="http://www.w3.org/1999/xhtml"><head>{{T}}</head><body>{{B}}</body></html>'
        page = page_of(expected)
        for cuts in ([], [10], list(range(1, len(page)))):
            assert run(page, cuts, xhtml=True)[0] == filled(expected)

    @pytest.mark.parametrize(
        "page",
        [
            "<!DOCTYPE html [ <!ENTITY a 'b'> ]><html><head></head></html>",
            "<!DOCTYPE html [ <!ENTITY a 'b' ><html xmlns='http://www.w3.org/1999/xhtml'><head></head></html>",
            "<html xmlns='http://www.w3.org/2000/svg'><head></head></html>",
            "<?xml version='1.0' encoding='iso-2022-jp'?><html xmlns='http://www.w3.org/1999/xhtml'><head></head></html>",
            "<h:html><h:head></h:head></h:html>",
            "<HTML><HEAD></HEAD></HTML>",
            "text",
        ],
    )
    def test_unsure_is_left_alone(self, page: str) -> None:
        out, injector = run(page.encode(), xhtml=True)
        assert out == page.encode()
        assert injector.refusal in (Refusal.UNSURE, Refusal.CHARSET)


def test_an_internal_error_does_not_reach_the_visitor() -> None:
    def broken(policies: tuple[str, ...]) -> tuple[bytes, bytes] | str:
        raise RuntimeError

    out, injector = run(WITH_POLICY, [20, 40], on_policies=broken)
    assert (out, injector.refusal, injector.inserted) == (WITH_POLICY, Refusal.FAILED, False)


def test_the_default_tag_is_taken_for_ours() -> None:
    tag = default_tag("t", "u", "s", None, False)
    page = b"<html><head>" + tag + b"</head><body></body></html>"
    assert run(page)[1].refusal is Refusal.MARKED
