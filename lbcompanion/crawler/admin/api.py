"""Builds the admin listener of a crawler from its parts."""

from __future__ import annotations

from collections.abc import Callable

from lbcompanion.crawler.admin.activity_api import ActivityApi
from lbcompanion.crawler.admin.audit_api import AuditApi
from lbcompanion.crawler.admin.dashboard.erasing import ErasePages
from lbcompanion.crawler.admin.dashboard.pages import DashboardPages
from lbcompanion.crawler.admin.dashboard.rendering import error_page
from lbcompanion.crawler.admin.dashboard.versions import VersionPages
from lbcompanion.crawler.admin.dashboard.walks import WalkPages
from lbcompanion.crawler.admin.erase_api import EraseApi
from lbcompanion.crawler.admin.export_api import ExportApi
from lbcompanion.crawler.admin.guard import Access, AccessGuard
from lbcompanion.crawler.admin.health_api import HealthApi
from lbcompanion.crawler.admin.listener import AdminResource
from lbcompanion.crawler.admin.login import LogIn
from lbcompanion.crawler.admin.monitoring import Monitoring
from lbcompanion.crawler.admin.openapi import openapi_endpoint
from lbcompanion.crawler.admin.recording_views import RecordingViews
from lbcompanion.crawler.admin.recordings_api import Recordings
from lbcompanion.crawler.admin.replay_pages import ReplayPages
from lbcompanion.crawler.admin.script_pages import ScriptPages
from lbcompanion.crawler.admin.sessions_api import SessionsApi
from lbcompanion.crawler.admin.stream_api import StreamApi
from lbcompanion.crawler.admin.versions_api import VersionsApi
from lbcompanion.crawler.admin.webhooks_api import WebhooksApi
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.crawl.scheduler import Defer
from lbcompanion.crawler.erasure.erasure_service import ErasureService
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.search import Search
from lbcompanion.crawler.queue.walks import Walks
from lbcompanion.sticky.routes import Routes


def admin_resource(
    *,
    backlog: Backlog,
    database: Database,
    archive: Archive,
    defer: Defer,
    routes: Routes,
    metrics: CrawlerMetrics,
    sites: Callable[[], list[str]],
    hosts: tuple[str, ...] = (),
    health: Health | None = None,
    erasure: ErasureService | None = None,
    read: Defer | None = None,
    parse: Defer | None = None,
    access: Access | None = None,
    check_passwords: Defer | None = None,
    open_metrics: bool = False,
    activity: ActivityApi | None = None,
    export: ExportApi | None = None,
    scripts: ScriptPages | None = None,
    stream: StreamApi | None = None,
    webhooks: WebhooksApi | None = None,
    health_words: HealthApi | None = None,
) -> AdminResource:
    """Return the root of the admin listener.

    :param database: the backlog's.
    :param defer: runs calls on the thread of the database.
    :param sites: returns the origins of the crawler's sites.
    :param hosts: host names that requests may use, besides IP addresses and ``localhost``.
    :param health: the crawler's current problems, for ``/healthz``.
    :param erasure: erases on request; None: nothing can be erased.
    :param read: reads pages on a thread that may wait for an object store; None: the backlog's thread.
    :param parse: rewrites pages for their replay on a thread of its own; None: the backlog's thread.
    :param access: users and their roles; None: nobody has to log in, and nothing is logged.
    :param check_passwords: checks passwords on a thread; None: the backlog's thread.
    :param open_metrics: whether ``/metrics`` needs no log-in.
    :param activity: the counts over time; None if nothing is counted.
    :param export: exports pages; None: nothing can be exported.
    :param scripts: the listener where recorded pages run their scripts; None: they do not.
    :param stream: streams outcomes; None: they can only be listed.
    :param webhooks: shows the webhooks; None if there are none.
    :param health_words: shows the health of each part; None: the API does not, and the dashboard has no webhooks.
    """
    search = Search(database)
    walks = Walks(database, search)
    recordings = Recordings(
        backlog=backlog, search=search, walks=walks, archive=archive, routes=routes, defer=defer, read=read or defer
    )
    health = health or Health()
    monitoring = Monitoring(backlog=backlog, metrics=metrics, health=health, defer=defer, is_open=open_metrics)
    runs_scripts = scripts is not None
    pages = DashboardPages(
        recordings=recordings,
        monitoring=monitoring,
        health=health_words
        or HealthApi(health=health, backlog=backlog, routes=routes, defer=defer, sites=sites, activity=activity),
        sites=sites,
        activity=activity,
        runs_scripts=runs_scripts,
    )
    replay = ReplayPages(
        recordings=recordings,
        reader=archive.reader,
        database=database,
        defer=defer,
        read=read or defer,
        parse=parse or defer,
    )
    views = RecordingViews(
        recordings=recordings,
        replay=replay,
        read=read or defer,
        parse=parse or defer,
        asked=scripts.asked if scripts is not None else None,
    )
    endpoints = [
        # Before /api/recordings/{token}, which matches the path of the stream as well.
        *(stream.endpoints() if stream is not None else ()),
        *monitoring.endpoints(),
        *recordings.endpoints(),
        *pages.endpoints(),
        *replay.endpoints(),
        *views.endpoints(),
    ]
    sessions = SessionsApi(walks, defer)
    versions = VersionsApi(recordings=recordings, search=search, defer=defer, read=read or defer)
    endpoints += [*sessions.endpoints(), *WalkPages(sessions).endpoints()]
    endpoints += [*versions.endpoints(), *VersionPages(versions).endpoints()]
    if erasure is not None:
        endpoints += EraseApi(erasure, defer).endpoints()
        endpoints += ErasePages(recordings=recordings, erasure=erasure, defer=defer).endpoints()
    if activity is not None:
        endpoints += activity.endpoints()
    if scripts is not None:
        endpoints += scripts.endpoints_of_dashboard(replay)
    if health_words is not None:
        endpoints += health_words.endpoints()
    if webhooks is not None:
        endpoints += webhooks.endpoints()
    if export is not None:
        endpoints += export.endpoints()
    if access is None:
        return AdminResource([*endpoints, openapi_endpoint(endpoints)], hosts=hosts, error_page=error_page)
    endpoints += AuditApi(access.trail.log, defer).endpoints()
    endpoints.append(openapi_endpoint(endpoints))
    if access.users is not None:
        endpoints += LogIn(access, check_passwords or defer).endpoints()
    return AdminResource(endpoints, hosts=hosts, guard=AccessGuard(access), error_page=error_page)
