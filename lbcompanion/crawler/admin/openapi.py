"""The document of the API, OpenAPI 3.1, made from the endpoints: ``GET /api/openapi.json``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from lbcompanion import __version__
from lbcompanion.crawler.admin.endpoint import JSON, Call, Endpoint, Response, json_response
from lbcompanion.crawler.admin.endpoint_doc import ANYTHING, COMPONENTS, TEXT, Doc, ref

_DOC = Doc("This document.", answer=ANYTHING)
_PROBLEM = {"description": "What is wrong.", "content": {"application/problem+json": {"schema": ref("Problem")}}}


def openapi_endpoint(endpoints: Iterable[Endpoint]) -> Endpoint:
    """Return the endpoint of the document of these endpoints."""
    known = list(endpoints)

    async def answer(_call: Call) -> Response:
        return json_response(document([*known, own]))

    own = Endpoint("/api/openapi.json", answer, doc=_DOC)
    return own


def document(endpoints: Iterable[Endpoint]) -> dict[str, Any]:
    """Return the document of the endpoints that have a description."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        if endpoint.doc is not None:
            for method in endpoint.methods:
                paths.setdefault(endpoint.path, {})[method.lower()] = _operation(endpoint, method, endpoint.doc)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lbcompanion crawler", "version": __version__, "license": {"name": "MIT"}},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": COMPONENTS,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"bearer": []}],
    }


def _operation(endpoint: Endpoint, method: str, doc: Doc) -> dict[str, Any]:
    words = re.findall("[a-z]+", f"{method.lower()}{endpoint.path}")
    in_path = [
        {"name": name, "in": "path", "required": True, "description": doc.params.get(name, name), "schema": TEXT}
        for name in re.findall(r"\{(\w+)\}", endpoint.path)
    ]
    in_query = [
        {
            "name": each.name,
            "in": "query",
            "required": each.required,
            "description": each.description,
            "schema": each.schema,
        }
        for each in doc.parameters
    ]
    found: dict[str, Any] = {
        "operationId": "_".join(words),
        "summary": doc.summary,
        "description": f"Role: {endpoint.role.value}.",
        "parameters": in_path + in_query,
        "responses": {"200": _success(doc), "default": _PROBLEM},
    }
    if doc.body is not None:
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": doc.body}}}
    return found


def _success(doc: Doc) -> Mapping[str, Any]:
    return {
        "description": doc.summary,
        "content": {doc.media_type: {"schema": TEXT if doc.answer is None else doc.answer}},
    }
