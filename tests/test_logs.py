from __future__ import annotations

import ast
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.logger import Logger, LogLevel, LogPublisher

import lbcompanion
from lbcompanion.logs import LineObserver, StandardLoggingHandler, level_of, printable, wants_json


def told(*, json_lines: bool) -> tuple[Logger, io.StringIO]:
    stream = io.StringIO()
    return Logger("here", observer=LogPublisher(LineObserver(stream, json_lines=json_lines))), stream


def failed(log: Logger) -> None:
    try:
        raise ValueError("oh\nno")
    except ValueError:
        log.failure("it failed")


def test_an_event_is_a_line() -> None:
    log, stream = told(json_lines=False)
    log.warn("the store is {state}", state="down")
    assert stream.getvalue().endswith("Z warn here: the store is down\n")


def test_a_traceback_is_folded_into_its_line() -> None:
    log, stream = told(json_lines=False)
    failed(log)
    (line,) = stream.getvalue().splitlines()
    assert "it failed" in line
    assert "ValueError: oh" in line


def test_an_event_is_json() -> None:
    log, stream = told(json_lines=True)
    log.info("{count} pages", count=3, what=object())
    said = json.loads(stream.getvalue())
    assert said["time"].endswith("Z")
    assert {key: said[key] for key in ("level", "from", "message", "count")} == {
        "level": "info",
        "from": "here",
        "message": "3 pages",
        "count": 3,
    }
    assert "what" not in said


def test_a_failure_is_one_line_of_json() -> None:
    log, stream = told(json_lines=True)
    failed(log)
    (line,) = stream.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["failure"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\x9b31mRED", "\\x9b31mRED"),
        ("a\x1b[2Jb\x07c\x7f", "a\\x1b[2Jb\\x07c\\x7f"),
        ("a\u202egnp.exe", "a\\u202egnp.exe"),
        ("a\u200b\ufeff\u2066b", "a\\u200b\\ufeff\\u2066b"),
        ("a\U000e0041b", "a\\U000e0041b"),
        ("lone \ud800", "lone \\ud800"),
        ("a\x85b\u2028c\r\nd", "a | b | c | d"),
        ("caf\xe9 \u65e5\u672c \U0001f600", "caf\xe9 \u65e5\u672c \U0001f600"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, line: str) -> None:
    log, stream = told(json_lines=False)
    log.info("{text}", text=text)
    assert stream.getvalue().endswith(f" info here: {line}\n")
    log, stream = told(json_lines=True)
    log.info("{text}", text=text, other=text)
    written = stream.getvalue()
    assert written.removesuffix("\n").isprintable()
    assert json.loads(written)["message"] == text
    assert json.loads(written)["other"] == text


@given(st.text())
def test_every_text_gives_one_printable_line(text: str) -> None:
    for json_lines in (False, True):
        log, stream = told(json_lines=json_lines)
        log.warn("{text}", text=text)
        line = stream.getvalue().removesuffix("\n")
        assert line.replace("\t", " ").isprintable()
        assert level_of(line) is LogLevel.warn


def test_a_text_for_a_terminal_keeps_its_lines() -> None:
    assert printable("a\n[b] \x9b1m\x1b\u202e\x7f\tc\n") == "a\n[b] \\x9b1m\\x1b\\u202e\\x7f\tc\n"


def test_the_level_of_a_line() -> None:
    assert level_of("2026-11-26T20:00:00Z error lbcompanion.node: x") is LogLevel.error
    assert level_of("Fatal Python error: x") is LogLevel.info
    assert level_of("") is LogLevel.info


def test_a_closed_stream_stops_nothing() -> None:
    log, stream = told(json_lines=False)
    stream.close()
    log.info("into the void")


@pytest.mark.parametrize(("value", "wanted"), [("json", True), ("JSON", True), ("", False), ("text", False)])
def test_the_environment_chooses(value: str, wanted: bool) -> None:
    assert wants_json({"LBC_LOG": value}) is wanted
    assert not wants_json({})


def test_libraries_logs_arrive() -> None:
    seen = []
    from twisted.logger import globalLogPublisher

    globalLogPublisher.addObserver(seen.append)
    try:
        record = logging.LogRecord("asyncio", logging.WARNING, "", 0, "slow: %s", ("x",), None)
        StandardLoggingHandler().emit(record)
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert [(event["log_namespace"], event["text"]) for event in seen] == [("asyncio", "slow: x")]


@pytest.mark.slow
def test_every_logger_names_its_namespace() -> None:
    """One that takes it from its module gives log lines another name when the module moves."""
    calls = [
        call
        for path in Path(lbcompanion.__file__).parent.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Logger"
    ]
    assert len(calls) > 5
    assert [ast.unparse(call) for call in calls if not any(each.arg == "namespace" for each in call.keywords)] == []
