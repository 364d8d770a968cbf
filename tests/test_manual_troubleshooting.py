"""The page of symptoms explains every reason and result that an operator can see."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lbcompanion.crawler.fetching import http_client
from lbcompanion.html.page_detection import Refusal
from lbcompanion.node.capture.capture_rules import CaptureRules
from lbcompanion.node.capture.consent import REASONS
from lbcompanion.node.capture.page_policy import PagePolicy
from lbcompanion.node.capture.plan import RequestPlan

PAGE = (Path(__file__).parent.parent / "docs" / "troubleshooting.rst").read_text()
#: Reasons that are counted for no page that a visitor misses.
NOT_EXPLAINED = {"", "HEAD", "not HTML"}


def section(title: str) -> str:
    """The text of one symptom."""
    found = re.search(rf"(?ms)^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-{{3,}}$|\Z)", PAGE)
    assert found is not None
    return found[1]


def returned_texts(function: Callable[..., Any]) -> set[str]:
    """The texts that a function can return, as far as they stand in it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    constants = [node.value for each in returns for node in ast.walk(each) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


def test_every_reason_against_copy_or_script_is_explained() -> None:
    reasons = {each.value for each in Refusal} | REASONS
    rules = (CaptureRules.request_refusal, CaptureRules.visitor_refusal)
    for function in (*rules, RequestPlan.not_captured, PagePolicy.not_injected):
        reasons |= returned_texts(function)
    assert len(reasons) > 25
    text = section("Script not injected")
    assert {reason for reason in reasons - NOT_EXPLAINED if f"``{reason}" not in text} == set()


def test_every_result_of_a_fetch_without_an_answer_is_explained() -> None:
    words = {word for _, word in http_client._WORDS} | {"broken", "unproven", "bad head"}
    assert {word for word in words if f"``{word}``" not in section("All open")} == set()
