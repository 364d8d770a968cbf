"""Parameters and answers of endpoints, as JSON Schema 2020-12, for the document of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from lbcompanion.crawler.queue.search import CURSOR_PATTERN

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
#: A text without control characters.
ONE_LINE: Schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]*$"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time"}
ANYTHING: Schema = {}


def or_null(schema: Schema) -> Schema:
    """Return the schema of a value that may be null."""
    return {"anyOf": [schema, {"type": "null"}]}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def one_of(*values: str) -> Schema:
    """Return the schema of one of some texts."""
    return {"type": "string", "enum": list(values)}


def obj(optional: Sequence[str] = (), /, **members: Schema) -> Schema:
    """Return the schema of an object without further members.

    :param optional: the names of members that may be missing.
    """
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": members, "required": required, "additionalProperties": False}


def ref(name: str) -> Schema:
    """Refer to a schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


@frozen
class Parameter:
    """A parameter of the query."""

    name: str
    description: str
    schema: Schema = ONE_LINE
    required: bool = False


@frozen
class Doc:
    """The description of an endpoint.

    :ivar answer: the schema of the JSON of a successful answer; None: it is no JSON.
    :ivar media_type: of a successful answer.
    :ivar body: the schema of the request's body; None: it has none.
    :ivar params: what the names in the path mean.
    """

    summary: str
    parameters: tuple[Parameter, ...] = ()
    answer: Schema | None = None
    media_type: str = "application/json"
    body: Schema | None = None
    params: Mapping[str, str] = {}


LIMIT = Parameter(
    "limit",
    "How many to return: at most 1,000, and 100 without it.",
    {"type": "integer", "minimum": 0, "maximum": 10**15 - 1},
)
AFTER_NUMBER = Parameter("after", "The value of next of a listing.", {"type": "string", "pattern": "^[0-9]{1,15}$"})
_CURSOR: Schema = {"type": "string", "pattern": f"^{CURSOR_PATTERN}$"}
_AFTER = Parameter("after", "The value of next of a listing.", _CURSOR)
_BEFORE = Parameter("before", "The value of previous of a listing. With after, it is where the listing ends.", _CURSOR)
PAGING = (LIMIT, _AFTER, _BEFORE)
CURSORS: Mapping[str, Schema] = {
    "next": or_null(TEXT),
    "previous": or_null(TEXT),
    "searched_to": or_null(TIME),
}
TIME_TEXT: Schema = {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
_ANY = r"[^\x00-\x1f\x7f]"
_PATTERN: Schema = {"type": "string", "pattern": rf"^(?:[^*\x00-\x1f\x7f]{_ANY}*|\*{_ANY}*\*|\*)?$"}
#: A text without stars.
WITHOUT_STARS: Schema = {"type": "string", "pattern": r"^[^*\x00-\x1f\x7f]+$"}
FILTERS = (
    Parameter("url", "The page's address: URL, its beginning as URL*, or a part as *PART*.", _PATTERN),
    Parameter("from", "Viewed at this time or later.", TIME_TEXT),
    Parameter("to", "Viewed before this time.", TIME_TEXT),
    Parameter("node", "The owner of the copy."),
    Parameter("route", "How the copy was fetched."),
    Parameter("outcome", "The outcome.", one_of("archived", "lost", "open")),
    Parameter("reason", "Why the page is lost; with stars as url.", _PATTERN),
    Parameter("status", "The status of the response.", {"type": "string", "pattern": "^[1-9][0-9][0-9]$"}),
    Parameter("method", "The method of the request."),
    Parameter("visitor", "The visitor's pseudonym, or its beginning."),
    Parameter("title", "A part of the title."),
    Parameter("site", "The site's name."),
)

_ATTEMPT = obj(route=TEXT, node=or_null(TEXT), result=TEXT, ms=NUMBER, learnt=or_null(TEXT))
_FILE = obj(url=TEXT, reason=TEXT)
_REQUISITES = obj(
    ["unsearched", "erased"],
    **dict.fromkeys(("wanted", "archived", "erased"), INTEGER),
    **dict.fromkeys(("missing", "unsearched"), array(_FILE)),
)
_TEXTS = ("answered_by", "route", "reason", "sha256", "content_type", "title", "method", "visitor")
_RECORDING: Mapping[str, Schema] = {
    **dict.fromkeys(("token", "site", "url", "origin_node", "by"), TEXT),
    **dict.fromkeys(_TEXTS, or_null(TEXT)),
    **dict.fromkeys(("captured_at", "finished_at"), or_null(TIME)),
    **dict.fromkeys(("viewed_at", "noticed_at"), TIME),
    **dict.fromkeys(("bytes", "status"), or_null(INTEGER)),
    "outcome": {"enum": ["archived", "lost", None]},
    "attempts": array(_ATTEMPT),
    "warc": or_null(obj(file=TEXT, offset=INTEGER, crawler=or_null(TEXT))),
    "requisites": or_null(_REQUISITES),
    "removed": or_null(obj(**dict.fromkeys(("elements", "blocks", "documents"), INTEGER))),
}
#: The schemas that several answers have.
COMPONENTS: Mapping[str, Schema] = {
    "Recording": obj(**_RECORDING),
    "Problem": obj(type=TEXT, title=TEXT, status=INTEGER, detail=TEXT),
}
RECORDING = ref("Recording")
WHOLE_RECORDING = obj(**_RECORDING, previous=or_null(TEXT), next=or_null(TEXT))
STEP = obj(["seconds_since_previous"], **_RECORDING, seconds_since_previous=NUMBER)
TOKEN: Mapping[str, str] = {"token": "The recording's token."}
VISITOR: Mapping[str, str] = {"visitor": "The visitor's pseudonym."}
