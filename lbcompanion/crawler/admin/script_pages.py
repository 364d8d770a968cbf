"""The second listener: recorded pages whose scripts run, at an origin of their own.

The document of a page has an opaque origin (``sandbox`` without ``allow-same-origin``). So its scripts have no cookies
and no storage, can read neither the dashboard nor another recording, and their requests carry no cookie of a log-in.
The page is in a frame of a page of this listener: the policy of that outer page holds wherever a script sends its
frame. Where a browser knows ``Connection-Allowlist``, it also makes no connection to anybody else; where it does not,
some connections without a request are possible (docs/replay.rst).
"""

from __future__ import annotations

from collections.abc import Callable

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.asked_files import AskedFiles
from lbcompanion.crawler.admin.audit_trail import AuditTrail, Subject
from lbcompanion.crawler.admin.dashboard.rendering import render, static
from lbcompanion.crawler.admin.endpoint import HTML, Call, Endpoint, HttpError, Response
from lbcompanion.crawler.admin.replay_pages import REPLAY_FIELDS, ReplayPages
from lbcompanion.crawler.admin.viewings import Viewing, Viewings
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.replay.addresses import kind_of, replay_address
from lbcompanion.crawler.replay.documents import PROLOGUE_PATH, Replayed
from lbcompanion.protocol import shapes

#: CSP of a recorded page. There is no ``allow-same-origin``, and there must never be one beside ``allow-scripts``.
SCRIPT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "img-src 'self' data: blob:; style-src 'self' 'unsafe-inline' data: blob:; font-src 'self' data: blob:; "
    "media-src 'self' data: blob:; frame-src 'self'; object-src 'none'; connect-src 'none'; worker-src 'none'; "
    "manifest-src 'none'; form-action 'none'; base-uri 'none'; webrtc 'block'"
)
#: CSP of the page around it, whose ``frame-src`` also holds for where its frame goes.
OUTER_POLICY = (
    "default-src 'none'; frame-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_DENIED = (
    *("accelerometer", "ambient-light-sensor", "attribution-reporting", "autoplay", "bluetooth", "browsing-topics"),
    *("camera", "clipboard-read", "clipboard-write", "display-capture", "encrypted-media", "fullscreen", "gamepad"),
    *("geolocation", "gyroscope", "hid", "identity-credentials-get", "idle-detection", "join-ad-interest-group"),
    *("local-fonts", "magnetometer", "microphone", "midi", "payment", "picture-in-picture", "private-state-token"),
    *("publickey-credentials-get", "run-ad-auction", "screen-wake-lock", "serial", "shared-storage", "storage-access"),
    *("sync-xhr", "usb", "web-share", "window-management", "xr-spatial-tracking"),
)
_FIELDS = (
    *REPLAY_FIELDS,
    ("connection-allowlist", "(response-origin);redirects=allow"),
    ("permissions-policy", ", ".join(f"{each}=()" for each in _DENIED)),
)
_OUTER_FIELDS = (*_FIELDS, ("cross-origin-opener-policy", "same-origin"), ("origin-agent-cluster", "?1"))
#: A document with an opaque origin may load fonts and modules only if everybody may.
_OPEN = ("access-control-allow-origin", "*")
_OPEN_KINDS = frozenset({"font", "script"})
_OTHER_LOOPBACK = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}


class ScriptPages:
    """Serves recorded pages with their scripts, and the dashboard's way to them.

    :param trail: writes a line for each page that is looked at; None: no line is written.
    :param origin: of this listener as browsers know it; empty: the dashboard's host with the listener's port.
    :param port: returns the TCP port of this listener.
    """

    def __init__(
        self,
        *,
        viewings: Viewings,
        metrics: CrawlerMetrics,
        trail: AuditTrail | None,
        origin: str,
        port: Callable[[], int],
    ) -> None:
        self._viewings = viewings
        self._metrics = metrics
        self._trail = trail
        self._origin = origin
        self._port = port
        self.asked = AskedFiles()

    def endpoints_of_dashboard(self, replay: ReplayPages) -> list[Endpoint]:
        """Return the endpoint of the admin listener that begins a viewing.

        :param replay: gives the parts of the recordings, also to the listener for scripts.
        """
        self._replay = replay
        return [Endpoint("/recording/{token}/scripts", self._begin)]

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of the listener for scripts. The key in the address says who may call them.

        :meth:`endpoints_of_dashboard` comes first.
        """
        paths = {
            "/{key}/{token}/": self._outer,
            "/{key}/{token}/page": self._page,
            "/{key}/{token}/file": self._file,
            "/{key}/{token}/image": self._image,
            "/{key}/{token}/style/{encoding}": self._style,
            "/{key}/{token}/missing": self._missing,
            "/{key}/{token}/link": self._link,
            "/{key}/{token}/frame": self._frame,
            PROLOGUE_PATH: self._prologue,
            "/dashboard.css": self._style_of_messages,
        }
        return [Endpoint(path, handler, role=Role.ANYBODY) for path, handler in paths.items()]

    async def _begin(self, call: Call) -> Response:
        token = call.params["token"]
        if call.user is None or not shapes.TOKEN.fullmatch(token):
            raise HttpError(404, "there is no such recording")
        origin = self._origin or self._origin_beside(call)
        await self._replay.replayed(token)  # an error is shown in the dashboard
        key = self._viewings.begin(call.user, call.recheck).key(token)
        return Response(b"", HTML, (("location", f"{origin}/{key}/{token}/"),), 303)

    def _origin_beside(self, call: Call) -> str:
        """Return the origin at the host by which the dashboard is known.

        On loopback it is the other name of the same machine, to which browsers send no cookie of the dashboard.
        """
        host = (call.request.getHeader(b"host") or b"").decode("latin-1")
        host = host if host.endswith("]") else host.rpartition(":")[0] or host
        port = self._port()
        forwarded = (call.request.getHeader(b"x-forwarded-proto") or b"").partition(b",")[0].strip().lower()
        if call.request.isSecure() or forwarded == b"https" or not port:
            raise HttpError(500, "the crawler's setting replay_scripts_origin is empty; here it has to be set")
        return f"http://{_OTHER_LOOPBACK.get(host, host)}:{port}"

    async def _viewing(self, key: str, token: str) -> Viewing:
        viewing = self._viewings.find(key, token)
        if viewing is not None:
            try:
                await viewing.recheck()
            except HttpError:
                self._viewings.end(viewing)
            else:
                return viewing
        self._metrics.count_access_refused("viewing")
        raise HttpError(403, "this address is not valid any more; open the recording in the dashboard again")

    async def _replayed(self, call: Call) -> tuple[Viewing, Replayed]:
        token = call.params["token"]
        viewing = await self._viewing(call.params["key"], token)
        return viewing, await self._replay.replayed(token, f"/{viewing.key(token)}", has_scripts=True)

    async def _outer(self, call: Call) -> Response:
        _, replayed = await self._replayed(call)
        page = render("replay_scripts.html", url=replayed.url)
        return Response(page.encode("utf-8", "replace"), HTML, _with_policy(OUTER_POLICY, _OUTER_FIELDS))

    async def _page(self, call: Call) -> Response:
        viewing, replayed = await self._replayed(call)
        if call.request.getHeader(b"sec-fetch-dest") == b"document":
            # Without the page around it, a script could send its own window to any address.
            return _redirect(f"{replayed.prefix}/{replayed.token}/")
        if self._trail is not None:
            about = Subject(replayed.token)
            await self._trail.write(viewing.user, "view page", about=about, detail="with scripts")
        return _document((await self._replay.rewritten(replayed)).body)

    async def _file(self, call: Call) -> Response:
        _, replayed = await self._replayed(call)
        with self.asked.noting(replayed, call.argument("url")):
            found = await self._replay.file(replayed, call.argument("url"))
        more = (_OPEN,) if kind_of(found.content_type) in _OPEN_KINDS else ()
        return Response(found.body, found.content_type, (*found.headers, *more), found.status)

    async def _image(self, call: Call) -> Response:
        _, replayed = await self._replayed(call)
        url = call.argument("url")
        try:
            with self.asked.noting(replayed, url):
                return await self._replay.file(replayed, url)
        except HttpError as failure:
            if failure.status != 404:
                raise
            return self._replay.missing(replayed, url, is_small=True)

    async def _style(self, call: Call) -> Response:
        _, replayed = await self._replayed(call)
        with self.asked.noting(replayed, call.argument("url")):
            return await self._replay.style(replayed, call.argument("url"), call.params["encoding"])

    async def _missing(self, call: Call) -> Response:
        _, replayed = await self._replayed(call)
        return self._replay.missing(replayed, call.argument("url"))

    async def _link(self, call: Call) -> Response:
        viewing, replayed = await self._replayed(call)
        return await self._to_nearest(viewing, replayed, call.argument("url"), "link")

    async def _frame(self, call: Call) -> Response:
        viewing, replayed = await self._replayed(call)
        url = call.argument("url")
        drawing = await self._replay.drawing(replayed, url)
        return _document(drawing) if drawing is not None else await self._to_nearest(viewing, replayed, url, "frame")

    async def _to_nearest(self, viewing: Viewing, replayed: Replayed, url: str, use: str) -> Response:
        near = await self._replay.nearest(replayed.row, url)
        if near is not None:
            return _redirect(replay_address(near.token, "page", prefix=f"/{viewing.key(near.token)}"))
        back = f"{replayed.prefix}/{replayed.token}/page"
        scheme = url.partition(":")[0].strip().lower()
        page = render("replay_missing.html", url=url[:2000], back=back, is_frame=use == "frame", scheme=scheme)
        return Response(page.encode("utf-8", "replace"), HTML, _with_policy(SCRIPT_POLICY, _FIELDS), 404)

    async def _style_of_messages(self, _call: Call) -> Response:
        return Response(static("dashboard.css"), "text/css; charset=utf-8")

    async def _prologue(self, _call: Call) -> Response:
        return Response(static("before_scripts.js"), "text/javascript; charset=utf-8")


def _with_policy(policy: str, fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return (("content-security-policy", policy), *fields)


def _redirect(address: str) -> Response:
    return Response(b"", HTML, (("location", address), *_FIELDS), 302)


def _document(body: bytes) -> Response:
    return Response(body, HTML, _with_policy(SCRIPT_POLICY, _FIELDS))
