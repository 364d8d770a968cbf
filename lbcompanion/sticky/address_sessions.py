"""Session ids in addresses: where an application writes the visitor's session into its links instead of a cookie.

Java servers write ``/style.css;jsessionid=ID`` (Servlet 6.0 section 7.1.3), PHP ``?PHPSESSID=ID``
(``session.use_trans_sid``), Perl ``?v=1;CGISESSID=ID``, ASP.NET ``/(S(ID))/style.css`` (``cookieless``), also with
``F(TICKET)`` of a login and ``A(ID)`` of an anonymous visitor. A request for such an address would act as the visitor.
The same file is at the address without the id.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from lbcompanion.sticky.credentials import is_session_name, looks_like_id

# Without one of these characters there is no id.
_MAY_HOLD_ID = re.compile(r"[;?(]")
_PATH_PARAMETER = re.compile(r";([^;/=]*)=([^;/]*)")
_QUERY_PARAMETER = re.compile(r"([&;]|^)([^&;=]*)=([^&;]*)")
# The session of ASP.NET between other parts of its kind, such as ``(X(1)S(id))``.
_ASPNET_SEGMENT = re.compile(r"(?i)/(?:\(|%28)(?:[A-Z](?:\(|%28)[^()/%]*(?:\)|%29))+(?:\)|%29)(?=/)")
_ASPNET_SESSION = re.compile(r"(?i)[AFS](?:\(|%28)[^()/%]{16}")


def without_session_ids(url: str) -> str:
    """Return an absolute URL without the ids of sessions in it.

    Other secrets stay, such as a signature that gives access to this file alone.
    """
    scheme, _, rest = url.partition("://")
    if _MAY_HOLD_ID.search(rest) is None and "%28" not in rest:
        return url
    host, slash, target = rest.partition("/")
    path, mark, query = target.partition("?")
    kept_path = _without_parameters(_ASPNET_SEGMENT.sub(_segment, slash + path))
    kept_query = _QUERY_PARAMETER.sub(lambda each: "" if _names_session(each[2], each[3]) else each[0], query)
    if kept_query != query and query[:1] not in ("&", ";"):
        kept_query = kept_query.lstrip("&;")  # of the parameters behind the first one
    return f"{scheme}://{host}{kept_path}{mark if kept_query or not query else ''}{kept_query}"


def _segment(found: re.Match[str]) -> str:
    return "" if _ASPNET_SESSION.search(found[0]) else found[0]


def _without_parameters(path: str) -> str:
    return _PATH_PARAMETER.sub(lambda found: "" if _names_session(found[1], found[2]) else found[0], path)


def _names_session(name: str, value: str) -> bool:
    return is_session_name(unquote(name)) and looks_like_id(unquote(value))
