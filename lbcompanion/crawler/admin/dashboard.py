"""The dashboard: HTML from the same data as the API; all text is escaped, and nothing loads from other origins.

The script polls the live part and replaces it; without scripts the page works by reloading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import urlencode

from lbcompanion.model import DEFAULT_LADDER

CSS = """
:root { color-scheme: light dark; --ink: #1d2733; --dim: #65748a; --line: #dfe5ec; --ground: #f5f7fa; --card: #fff;
  --good: #12805c; --bad: #b3261e; --open: #8a6100; --link: #1f5fbf; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9f0; --dim: #93a1b5; --line: #2c3644; --ground: #12171e;
  --card: #1a212b; --good: #4cc79a; --bad: #ff8a80; --open: #e6b450; --link: #8ab4f8; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
header, main { max-width: 84rem; margin: 0 auto; padding: 1rem 1.5rem; }
header { display: flex; align-items: baseline; gap: 1rem; flex-wrap: wrap; }
h1 { font-size: 1.3rem; margin: 0; } h2 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
.dim { color: var(--dim); } .mono { font: 13px/1.5 ui-monospace, monospace; }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .75rem; }
.number, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .75rem 1rem; }
.number b { display: block; font-size: 1.6rem; line-height: 1.2; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .45rem .8rem; white-space: nowrap; }
th { color: var(--dim); font-weight: 500; font-size: .8rem; }
tr + tr td, thead + tbody td { border-top: 1px solid var(--line); }
td.url { max-width: 30rem; overflow: hidden; text-overflow: ellipsis; }
.said { white-space: normal; display: block; min-width: 16rem; }
.tag { border-radius: 99px; padding: .1rem .6rem; font-size: .8rem; border: 1px solid currentColor; }
.archived, .proven { color: var(--good); } .lost, .stale { color: var(--bad); }
.open, .candidate { color: var(--open); }
form { display: flex; gap: .5rem; flex-wrap: wrap; margin: 0 0 .6rem; } select, input, button { font: inherit;
  padding: .25rem .6rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); color: inherit; }
iframe { width: 100%; height: 70vh; border: 1px solid var(--line); border-radius: 10px; background: #fff; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0; } dt { color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
"""

JS = """
(function () {
  "use strict";
  var live = document.getElementById("live");
  if (!live || !window.fetch) return;
  function again() {
    if (document.hidden) return;
    fetch("/live" + location.search, { cache: "no-store" })
      .then(function (answer) { if (!answer.ok) throw new Error(); return answer.text(); })
      .then(function (html) { live.innerHTML = html; live.classList.remove("dim"); })
      .catch(function () { live.classList.add("dim"); });
  }
  setInterval(again, 2000);
}());
"""

_NUMBERS = (
    ("recordings", "recordings"),
    ("archived", "archived"),
    ("open", "under way"),
    ("lost", "lost"),
    ("misrouted_attempts", "misrouted attempts"),
    ("archived_bytes", "bytes archived"),
    ("fetches_running", "fetching now"),
    ("probes", "probes for routes"),
)
_FACTS = (
    *("outcome", "reason", "origin_node", "answered_by", "route", "captured_at", "viewed_at", "noticed_at"),
    *("finished_at", "by", "visitor", "content_type", "bytes", "sha256"),
)


def _shell(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><link rel="stylesheet" href="/dashboard.css"></head><body>{body}</body></html>'
    )


def page(live_part: str, filters: Mapping[str, str], sites: Sequence[str]) -> str:
    """Return the dashboard's page."""
    origins = " &middot; ".join(escape(origin) for origin in sites)
    head = f'<header><h1>lbcompanion crawler</h1><span class="dim">{origins}</span></header>'
    body = f'{head}<main>{_filter_form(filters)}<div id="live">{live_part}</div></main>'
    return _shell("lbcompanion crawler", f'{body}<script src="/dashboard.js"></script>')


def _filter_form(filters: Mapping[str, str]) -> str:
    outcome = _select("outcome", "any outcome", ("archived", "lost", "open"), filters.get("outcome", ""))
    route = _select("route", "any route", DEFAULT_LADDER, filters.get("route", ""))
    node = f'<input name="node" placeholder="origin node" size="12" value="{escape(filters.get("node", ""))}">'
    visitor = f'<input name="visitor" placeholder="visitor" size="26" value="{escape(filters.get("visitor", ""))}">'
    return f'<form method="get" action="/">{outcome}{route}{node}{visitor}<button>Filter</button></form>'


def _select(name: str, empty_text: str, choices: Sequence[str], chosen: str) -> str:
    options = "".join(
        f'<option value="{escape(each)}"{" selected" if each == chosen else ""}>{escape(each or empty_text)}</option>'
        for each in ("", *choices)
    )
    return f'<select name="{name}" aria-label="{name}">{options}</select>'


def live(
    numbers: Mapping[str, Any],
    listing: Mapping[str, Any],
    routes: Sequence[Mapping[str, Any]],
    filters: Mapping[str, str],
) -> str:
    """Return the part that the script replaces: numbers, routes, recordings."""
    boxes = "".join(
        f'<div class="number"><b>{int(numbers.get(key, 0)):,}</b><span class="dim">{label}</span></div>'
        for key, label in _NUMBERS
    )
    return f'<div class="numbers">{boxes}</div>{_routes(routes)}{_recordings(listing, filters)}'


def _table(heads: Sequence[str], rows: Sequence[str], empty_text: str) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in heads)
    body = "".join(rows) or f'<tr><td class="dim" colspan="{len(heads)}">{escape(empty_text)}</td></tr>'
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _tag(word: str) -> str:
    return f'<span class="tag {escape(word)}">{escape(word)}</span>'


def _cells(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _routes(routes: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        _cells(
            escape(each["site"]),
            f"<b>{escape(each['node'])}</b>",
            _tag(each["state"]),
            f'<span class="mono">{escape(", ".join(each["cookies"]))}</span>',
            escape(each["dialect"] or "as handed out"),
            escape(each["source"]),
            _when(each["learnt_at"]),
            _when(each["proven_at"]),
            _when(each["expires_at"]),
        )
        for each in routes
    ]
    heads = ("site", "node", "state", "cookies", "dialect", "source", "learnt", "proven last", "ends")
    return "<h2>The crawler's own routes</h2>" + _table(heads, rows, "none learnt yet")


def _when(text: str | None) -> str:
    return f'<span class="mono">{escape(text[:19].replace("T", " "))}</span>' if text else ""


def _recordings(listing: Mapping[str, Any], filters: Mapping[str, str]) -> str:
    rows = [
        "<tr>"
        f"<td>{_when(each['noticed_at'])}</td><td>{_tag(each['outcome'] or 'open')}</td>"
        f'<td class="url"><a href="/recording/{escape(each["token"])}">{escape(each["url"])}</a></td>'
        f"<td>{escape(each['origin_node'])}</td><td>{escape(each['answered_by'] or '')}</td>"
        f"<td>{escape(each['route'] or '')}</td><td>{len(each['attempts'])}</td>"
        f'<td class="dim">{escape(each["reason"] or "")}</td></tr>'
        for each in listing["recordings"]
    ]
    heads = ("noticed (UTC)", "outcome", "page", "made by", "answered by", "route", "attempts", "reason")
    more = ""
    if listing["next"]:
        query = urlencode({**{name: value for name, value in filters.items() if value}, "after": listing["next"]})
        more = f'<p><a href="/?{escape(query)}">older</a></p>'
    return "<h2>Recordings</h2>" + _table(heads, rows, "none yet") + more


def _missing_requisites(each: Mapping[str, Any]) -> str:
    report = each["requisites"]
    if not report or not (report["wanted"] or report.get("unsearched")):
        return ""
    rows = [_cells(escape(one["url"]), escape(one["reason"])) for one in report["missing"]]
    rows += [
        _cells(escape(one["url"]), escape(f"not searched to its end: {one['reason']}"))
        for one in report.get("unsearched", ())
    ]
    heading = f"<h2>Requisites: {int(report['archived'])} of {int(report['wanted'])} archived</h2>"
    return heading + (_table(("missing", "reason"), rows, "") if rows else "")


def recording_page(each: Mapping[str, Any]) -> str:
    """Return the page of one recording: metadata, attempts, and the archived page in a sandbox."""
    facts = "".join(
        f"<dt>{escape(name.replace('_', ' '))}</dt><dd>{escape(str(each[name]))}</dd>"
        for name in _FACTS
        if each[name] is not None
    )
    if each["warc"]:
        facts += f"<dt>record</dt><dd>{escape(each['warc']['file'])} at {int(each['warc']['offset'])}</dd>"
    attempts = [
        _cells(
            escape(one["route"]),
            escape(one["node"] or ""),
            escape(one["result"]),
            f"{one['ms']:.0f} ms",
            f'<span class="said">{escape(one["learnt"] or "")}</span>',
        )
        for one in each["attempts"]
    ]
    source = f"/api/recordings/{escape(each['token'])}/page"
    frame = (
        f'<h2>The page as it was seen</h2><iframe sandbox title="archived page" src="{source}"></iframe>'
        if each["outcome"] == "archived"
        else ""
    )
    body = (
        f'<header><h1><a href="/">lbcompanion crawler</a></h1><span class="mono">{escape(each["url"])}</span></header>'
        f'<main><div class="card"><dl>{facts}</dl></div><h2>Attempts</h2>'
        f"{_table(('route', 'who answered', 'result', 'time', 'what was learnt'), attempts, 'none yet')}"
        f"{_missing_requisites(each)}{frame}</main>"
    )
    return _shell(f"{each['url']} - lbcompanion crawler", body)
