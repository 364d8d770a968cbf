"""The document of the API, held against the code and against the manual."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import jsonschema
import pytest

from lbcompanion.crawler.admin import api as admin_api
from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.export_api import ExportApi
from lbcompanion.crawler.admin.webhooks_api import WebhooksApi
from lbcompanion.crawler.queue.activity_table import ActivityTable
from lbcompanion.protocol.visitors import visitor_key, visitor_pseudonym
from tests.crawler.admin import api_reference
from tests.support.archives import Place
from tests.support.arrivals import arrival
from tests.support.children import Children, wait_for
from tests.support.crawler_api import ApiCase, admin_resource, health_api, stream_api
from tests.support.ports import free_port
from tests.support.programs import need_library
from tests.support.reported_webhooks import ReportedWebhooks
from tests.support.simulated_farm import immediately

MANUAL = Path(__file__).parents[3] / "docs" / "reference-crawler.rst"
SECRET = b"0123456789abcdef-secret"
NAMES = ("recordings", "routes", "stats", "sessions", "activity", "webhooks", "health")
WITHOUT_PARAMETERS = [f"/api/{name}" for name in NAMES]
VISITOR = visitor_pseudonym(visitor_key(SECRET), "ann")


@pytest.mark.slow
class DocumentTests(ApiCase):
    def setUp(self) -> None:
        super().setUp()
        export: Any = ExportApi(open_database=None, open_reader=None, in_thread=immediately)  # type: ignore[arg-type]
        activity = ActivityApi(ActivityTable(self.rig.database, "crawler"), immediately, self.farm.now)
        webhooks: Any = ReportedWebhooks()
        self.resource = admin_resource(
            self.rig,
            export=export,
            activity=activity,
            stream=stream_api(self.rig),
            webhooks=WebhooksApi(webhooks),
            health_words=health_api(self, activity, webhooks),
        )
        self.http = type(self.http)(self.resource)
        self.document = self.json("/api/openapi.json")

    def test_every_endpoint_is_in_the_document(self) -> None:
        served = {(each.path, method.lower()) for each in self.resource._endpoints for method in each.methods}
        of_api = {each for each in served if each[0].startswith("/api/")}
        described = {(path, method) for path, methods in self.document["paths"].items() for method in methods}
        self.assertEqual(described, of_api)
        numbers = [one["operationId"] for methods in self.document["paths"].values() for one in methods.values()]
        self.assertEqual(len(numbers), len(set(numbers)))

    def test_the_manual_has_every_path(self) -> None:
        manual = MANUAL.read_text()
        for path in self.document["paths"]:
            written = path.replace("{token}", "TOKEN").replace("{visitor}", "VISITOR")
            self.assertIn(f"``{written}", manual.replace("``DELETE ", "``").replace("``POST ", "``"))

    def test_the_reference_has_the_document(self) -> None:
        self.assertEqual(
            api_reference.FILE.read_text(),
            api_reference.text(),
            "python -m tests.crawler.admin.api_reference writes it",
        )
        arguments = set(inspect.signature(admin_api.admin_resource).parameters)
        self.assertEqual(arguments, {*api_reference.parts(), *api_reference.NO_ENDPOINTS})
        whole = api_reference.whole_document()
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                self.assertEqual(whole["paths"][path][method], operation)

    def test_answers_have_their_schemas(self) -> None:
        for path, template in (
            *((path, path) for path in WITHOUT_PARAMETERS),
            (f"/api/recordings/{self.tokens[0]}", "/api/recordings/{token}"),
            (f"/api/recordings/{self.tokens[3]}", "/api/recordings/{token}"),
            ("/api/versions?url=http://www.example.com/%253C0%253E%26", "/api/versions"),
            (f"/api/compare?a={self.tokens[0]}&b={self.tokens[1]}", "/api/compare"),
        ):
            answer = self.json(path)
            content = self.document["paths"][template]["get"]["responses"]["200"]["content"]
            self.check(answer, content["application/json"]["schema"])
        self.check(json.loads(self.get("/api/recordings/none")[1]), {"$ref": "#/components/schemas/Problem"})

    def check(self, value: Any, schema: Any) -> None:
        whole = {**schema, "components": self.document["components"]}
        jsonschema.Draft202012Validator(whole).validate(value)


@pytest.fixture(name="address")
def _address(tmp_path: Path) -> Iterator[str]:
    place = Place(tmp_path)
    for number in range(3):
        place.backlog.add([arrival(f"t{number}", visitor=VISITOR)], 1.0)
        place.store(f"t{number}", f"<title>Page {number}</title>".encode())
    place.database.close()
    (tmp_path / "farm.secret").write_bytes(SECRET + b"\n")
    (tmp_path / "farm.secret").chmod(0o600)
    listen, admin = free_port(), free_port()
    file = tmp_path / "crawler.toml"
    file.write_text(
        f'[crawler]\nsecret_file = "farm.secret"\nqueue = "sqlite:///q.db"\narchive_dir = "archive"\n'
        f'listen = "tcp:{listen}:interface=127.0.0.1"\nadmin = "tcp:{admin}:interface=127.0.0.1"\n'
        '[sites.main]\norigin = "http://127.0.0.1:9"\n'
    )
    children = Children(tmp_path)
    child = children.lbcompanion("crawler", "crawler", "--config", str(file))
    address = f"http://127.0.0.1:{admin}"

    def is_up() -> bool:
        try:
            with urlopen(f"{address}/api/routes", timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    try:
        wait_for("the crawler", is_up, 60, child)
        yield address
    finally:
        children.kill()


@pytest.mark.slow
@pytest.mark.network
def test_the_api_does_what_the_document_says(address: str) -> None:
    """Schemathesis makes requests from the document, right and wrong ones, and checks the answers."""
    schemathesis: Any = need_library("schemathesis")
    from hypothesis import HealthCheck, Phase, given, seed, settings

    schema = schemathesis.openapi.from_url(f"{address}/api/openapi.json")
    quiet = settings(
        max_examples=12,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    failures: list[str] = []
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(1)
        @quiet
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            if case.path == "/api/recordings/stream":
                case.query = {**(case.query or {}), "seconds": 0}  # or it would not end
            case.call_and_validate()

        try:
            check()
        except (Exception, BaseExceptionGroup) as failure:
            failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n".join(failures)[:6000]
