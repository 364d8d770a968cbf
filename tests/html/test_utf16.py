"""Pages in UTF-16."""

from __future__ import annotations

import re

import pytest

from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Refusal
from tests.html.cases.position import PAGES
from tests.support.html_fragments import BOTTOM, TOP
from tests.support.injecting import WITH_POLICY, run


class TestUtf16:
    @pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("expected", PAGES)
    def test_as_in_any_other_page(self, expected: str, code: str) -> None:
        if "data-lbc-token=abc" in expected or "\u26a1" in expected or "charset=" in expected:
            return  # what a meta names, and AMP, mean nothing there
        text = expected.removeprefix("\ufeff")
        page = ("\ufeff" + text.replace("{T}", "").replace("{B}", "")).encode(code)
        made = ("\ufeff" + text.replace("{T}", TOP.decode()).replace("{B}", BOTTOM.decode())).encode(code)
        assert run(page, [1, 2, 7])[0] == made
        assert run(page[2:], [1, 3, 8], utf_16=code.replace("-16-", "-16"))[0] == made[2:]

    @pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
    def test_what_is_no_text_stays(self, code: str) -> None:
        start = "\ufeff<html><head>".encode(code)
        rest = b"\xd8\x00x\xdf\xff\x00\xdc\xfe\xfe\xfd" + "\u3c00\U0001f600".encode(code) + b"\n"
        out, injector = run(start + rest, [5, 40])
        assert out == start + TOP.decode().encode(code) + rest[:-1] + BOTTOM.decode().encode(code) + rest[-1:]
        assert injector.inserted

    def test_a_byte_order_mark_outdoes_the_header(self) -> None:
        page = b"\xef\xbb\xbf<html><head></head>"
        assert run(page, utf_16="utf-16le")[0] == page[:15] + TOP + page[15:] + BOTTOM

    def test_a_policy_in_a_meta_is_seen(self) -> None:
        page = WITH_POLICY.decode().encode("utf-16-be")
        out, injector = run(page, [3], utf_16="utf-16be", on_policies=lambda policies: "script-src")
        assert (out, injector.refusal, injector.directive) == (page, Refusal.CSP, "script-src")
        out, injector = run(page, [3], utf_16="utf-16be", on_policies=lambda policies: (b"<!--T-->", b""))
        assert out.decode("utf-16-be") == WITH_POLICY.decode().replace("<head>", "<head><!--T-->")

    def test_cut_off(self) -> None:
        page = b"\xff\xfe" + "<html><head><title>".encode("utf-16-le") + b"x"
        injector = Injector(TOP)
        assert injector.feed(page) + injector.flush() == page

    def test_skip_if(self) -> None:
        page = b"\xff\xfe" + "<html><head><title>no-record".encode("utf-16-le")
        assert run(page, [1, 5], skip_if=re.compile(b"no-record"))[1].refusal is Refusal.SKIPPED

    @pytest.mark.parametrize("code", ["utf-16-le", "utf-16-be"])
    @pytest.mark.parametrize("xhtml", [False, True])
    def test_an_xml_declaration_is_enough_without_a_byte_order_mark(self, code: str, xhtml: bool) -> None:
        start = '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head>'
        rest = "</head><body></body></html>"
        page = (start + rest).encode(code)
        changed = page.replace(rest.encode(code), (TOP.decode() + rest).encode(code))
        assert run(page, [1, 2, 5, 7], bottom=b"", top_at_head_end=True, xhtml=xhtml)[0] == changed
        # The header outdoes it.
        assert run(page, [1, 2, 5, 7], bottom=b"", charset_known=True)[0].replace(TOP, b"") == page

    def test_what_only_begins_like_an_xml_declaration(self) -> None:
        for page in (b"<\0?\0x", b"<\0?\0", b"\0<\0", b"\0<\0?\0y"):
            out, injector = run(page, [1, 3], bottom=b"")
            assert out.replace(TOP, b"") == page, injector.refusal
