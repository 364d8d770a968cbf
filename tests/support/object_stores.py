"""A server that speaks S3 (moto's), with faults on demand, and a bucket in it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import Request, urlopen

from tests.support.programs import leave_out

BUCKET = "archive"
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_REGION": "us-east-1",
}


class S3Server:
    """moto's server in a thread of this process.

    :ivar failing: how many of the next requests are answered by 503.
    :ivar cutting: how many of the next uploads are taken in half only, and answered as if they were whole.
    :ivar on_put: called with the path of each upload before it is taken.
    :ivar requests: the method, path and range of each request so far.
    """

    def __init__(self) -> None:
        try:
            from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
            from werkzeug.serving import WSGIRequestHandler, make_server
        except ImportError:
            leave_out("moto")
        self.failing = 0
        self.cutting = 0
        self.on_put: Callable[[str], object] = lambda _path: None
        self.requests: list[tuple[str, str, str]] = []
        self._application = DomainDispatcherApplication(create_backend_app)

        class Silent(WSGIRequestHandler):
            def log_request(self, *_of: object) -> None:
                """Requests are in :attr:`requests`."""

        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=Silent)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _serve(self, environ: dict[str, Any], start_response: Any) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path, environ.get("HTTP_RANGE", "")))
        if self.failing:
            self.failing -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Length", "0"), ("Connection", "close")])
            return [b""]
        if method == "PUT":
            self.on_put(path)
        if self.cutting and method == "PUT":
            self.cutting -= 1
            self._cut(environ)
        return self._application(environ, start_response)

    def _cut(self, environ: dict[str, Any]) -> None:
        from io import BytesIO

        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        half = body[: len(body) // 2]
        environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(half), str(len(half))
        for name in [name for name in environ if "CHECKSUM" in name or name == "HTTP_CONTENT_MD5"]:
            del environ[name]


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server with an empty bucket; the environment leads to it."""
    server = S3Server()
    before = dict(os.environ)
    server.start()
    try:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(_ENVIRONMENT, AWS_ENDPOINT_URL=f"http://127.0.0.1:{server.port}")
        # All servers of a process have the same buckets: those of an earlier test are removed.
        with urlopen(Request(f"http://127.0.0.1:{server.port}/moto-api/reset", method="POST"), timeout=30):
            pass
        client(server).create_bucket(Bucket=BUCKET)
        server.requests.clear()
        yield server
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.stop()


def client(server: S3Server) -> Any:
    """An independent client."""
    import boto3

    return boto3.client("s3", endpoint_url=f"http://127.0.0.1:{server.port}", region_name="us-east-1")


def objects(server: S3Server) -> dict[str, bytes]:
    """All objects of the bucket."""
    s3 = client(server)
    listed = s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {each["Key"]: s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in listed}
