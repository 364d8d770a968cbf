"""The manual's reference of the API, from its OpenAPI document: ``python -m tests.crawler.admin.api_reference``."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.api import admin_resource
from lbcompanion.crawler.admin.export_api import ExportApi
from lbcompanion.crawler.admin.health_api import HealthApi
from lbcompanion.crawler.admin.openapi import document
from lbcompanion.crawler.admin.stream_api import StreamApi
from lbcompanion.crawler.admin.webhooks_api import WebhooksApi

FILE = Path(__file__).parents[3] / "docs" / "reference-api.rst"
HEAD = """\
.. Written by tests/crawler/admin/api_reference.py from the OpenAPI document.

Reference: every request of the crawler's API
=============================================

.. index:: ! API, ! OpenAPI

This page is made from the document that a crawler gives at ``/api/openapi.json`` (OpenAPI 3.1).
:doc:`reference-crawler` explains the values. A *time* is a text of RFC 3339. Every answer with another status than 200
is ``application/problem+json``, a `Problem`_. With users (:doc:`access`) a request needs the role that is named with
it; an operator may do what a viewer may.

.. code-block:: console

   $ curl "http://127.0.0.1:9201/api/recordings?limit=10&outcome=lost"
"""

#: Arguments of the listener that add no requests to the API.
NO_ENDPOINTS = {"hosts", "health", "read", "parse", "check_passwords", "open_metrics", "scripts"}


def whole_document() -> Mapping[str, Any]:
    """The document of a crawler that has all parts. Nothing is requested, so the parts need not work.

    :data:`NO_ENDPOINTS` names the other arguments; a test compares both with the listener's.
    """
    return document(admin_resource(**parts())._endpoints)


def parts() -> dict[str, Any]:
    """The arguments of the listener with which it has all requests."""
    part: Any = MagicMock()
    return dict(
        **dict.fromkeys(("backlog", "database", "archive", "defer", "routes", "metrics", "sites"), part),
        erasure=part,
        access=part,
        activity=ActivityApi(part, part, part),
        export=ExportApi(open_database=part, open_reader=part, in_thread=part),
        stream=StreamApi(part, part, defer=part, reactor=part, metrics=part),
        webhooks=WebhooksApi(part),
        health_words=HealthApi(health=part, backlog=part, routes=part, defer=part, sites=part),
    )


def text() -> str:
    """The page."""
    whole = whole_document()
    sections = [HEAD]
    for path, operations in whole["paths"].items():
        for method, operation in operations.items():
            sections.append("\n".join(_operation(f"{method.upper()} {path}", operation)))
    for name, schema in whole["components"]["schemas"].items():
        sections.append("\n".join([_title(name), *_block(schema)]))
    return "\n".join(sections)


def _title(title: str) -> str:
    return f"{title}\n{'-' * len(title)}\n"


def _operation(title: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield _title(title)
    yield textwrap.fill(f"{operation['summary']} {operation['description']}", 120) + "\n"
    if operation["parameters"]:
        yield ".. list-table::\n   :header-rows: 1\n   :widths: 16 10 74\n\n   * - parameter\n     - in\n     - meaning"
        for each in operation["parameters"]:
            needed = " Required." if each["required"] and each["in"] == "query" else ""
            yield f"   * - ``{each['name']}``\n     - {each['in']}\n     - {_sentence(each['description'])}{needed}"
        yield ""
    for schema in (content["schema"] for content in operation.get("requestBody", {}).get("content", {}).values()):
        yield "The body, as JSON:\n"
        yield from _block(schema)
    for media_type, content in operation["responses"]["200"]["content"].items():
        yield f"The answer, ``{media_type}``" + (":\n" if media_type == "application/json" else ".\n")
        if media_type == "application/json":
            yield from _block(content["schema"])


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def _block(schema: Mapping[str, Any]) -> Iterator[str]:
    yield ".. code-block:: text\n"
    yield from (f"   {line}" for line in _shape(schema).splitlines())
    yield ""


def _shape(schema: Mapping[str, Any]) -> str:
    """A schema in words: ``{"name": text, ...}``."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_shape(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " or ".join("null" if value is None else f'"{value}"' for value in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"[{_shape(schema['items'])}, ...]"
    if kind == "object":
        return _object(schema)
    if isinstance(kind, list):
        return " or ".join(_simple(each, schema) for each in kind)
    return _simple(kind, schema)


def _simple(kind: Any, schema: Mapping[str, Any]) -> str:
    if kind == "string":
        return {"date-time": "time", "date": "date"}.get(schema.get("format", ""), "text")
    return {"boolean": "true or false", "null": "null", None: "any value"}.get(kind, str(kind))


def _object(schema: Mapping[str, Any]) -> str:
    members = schema.get("properties", {})
    if not members:
        further = schema.get("additionalProperties")
        return f'{{"NAME": {_shape(further)}, ...}}' if isinstance(further, Mapping) else "{...}"
    required = schema.get("required", ())
    lines = []
    for name, value in members.items():
        shape = textwrap.indent(_shape(value), " " * 2).lstrip()
        lines.append(f'  "{name}": {shape},' + ("" if name in required else "  (may be missing)"))
    return "{\n" + "\n".join(lines) + "\n}"


if __name__ == "__main__":
    FILE.write_text(text())
    sys.stdout.write(f"{FILE}\n")
