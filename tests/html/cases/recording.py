"""Pages recorded by visitor, path and method, and pages that browsers show again."""

from __future__ import annotations

from tests.html.cases.case import HTML, NONE, PAGE, Case


def not_recorded(name: str, why: str = "", **more: object) -> Case:
    return Case(name, None, PAGE, NONE, why, **more)  # type: ignore[arg-type]


def capture(**settings: object) -> dict[str, dict[str, object]]:
    return {"capture": settings}


CASES = [
    not_recorded("off", "capture is off", settings=capture(enabled=False)),
    not_recorded("visitor 0", "visitor is not recorded", asked=("Cookie: WRUID=0",)),
    not_recorded("visitor 0 among others", "visitor is not recorded", asked=("Cookie: a=b; WRUID=0; c=d",)),
    not_recorded("visitor 0 on a second line", "visitor is not recorded", asked=("Cookie: a=b", "Cookie: WRUID=0")),
    not_recorded("the first of a name is 0", "visitor is not recorded", asked=("Cookie: WRUID=0; WRUID=1",)),
    not_recorded("the last of a name is 0", "visitor is not recorded", asked=("Cookie: WRUID=1; WRUID=0",)),
    Case("visitor 1", asked=("Cookie: WRUID=1",)),
    Case("a new visitor", asked=("Cookie: a=b",)),
    Case("another cookie's 0", asked=("Cookie: XWRUID=0; WRUIDX=0",)),
    not_recorded("the cookie by another name", "visitor is not recorded", asked=("Cookie: rec=0",), settings=capture(visitor_cookie="rec")),
    Case("a new visitor at a ratio: the browser draws", settings=capture(ratio=0.1)),
    not_recorded("not forced against the visitor", "visitor is not recorded", asked=("Cookie: WRUID=0",), target="/shop/page?lbc=record",
                 settings=capture(force_parameter="lbc=record")),
    Case("forced", target="/shop/page?lbc=record", settings=capture(include=(), force_parameter="lbc=record")),
    Case("forced among others", target="/shop/page?a=b&lbc=record&c",
         settings=capture(include=(), force_parameter="lbc=record")),
    not_recorded("not quite forced", "path not included", target="/shop/page?xlbc=record",
                 settings=capture(include=(), force_parameter="lbc=record")),
    not_recorded("not forced on a path that is excluded", "path excluded", target="/shop/page?lbc=record",
                 settings=capture(exclude=("/**",), force_parameter="lbc=record")),
    not_recorded("nothing is forced by default", "path not included", target="/shop/page?lbc=record", settings=capture(include=())),
    Case("included", settings=capture(include=("/shop/*",))),
    Case("included, one character", settings=capture(include=("/shop/pag?",))),
    Case("included, any depth", target="/shop/a/b/c", settings=capture(include=("/shop/**",))),
    not_recorded("not as deep", "path not included", target="/shop/a/b", settings=capture(include=("/shop/*",))),
    not_recorded("not included", "path not included", settings=capture(include=("/blog/**",))),
    not_recorded("nothing included", "path not included", settings=capture(include=())),
    not_recorded("excluded", "path excluded", settings=capture(exclude=("/shop/**",))),
    Case("not excluded", settings=capture(exclude=("/shop",))),
    not_recorded("excluded though included", "path excluded", settings=capture(include=("/shop/**",), exclude=("/shop/page",))),
    Case("the query is no part of the path", target="/shop/page?x=/a/b", settings=capture(include=("/shop/page",))),
    Case("dots and pluses are plain", target="/a.b+c", settings=capture(include=("/a.b+c",))),
    not_recorded("a dot is no joker", "path not included", target="/axb", settings=capture(include=("/a.b",))),
    Case("POST", method="POST"),
    not_recorded("PUT", "method", method="PUT"),
    Case("PUT, listed", method="PUT", settings=capture(methods=("PUT",))),
    not_recorded("GET, not listed", "method", settings=capture(methods=("POST",))),
    # Pages that are shown again.
    Case("cacheable as made", answered=(HTML, "Cache-Control: max-age=60"), told=("Cache-Control: max-age=60",)),
    Case("uncacheable", answered=(HTML, "Cache-Control: max-age=60", 'ETag: "a"', "Last-Modified: x"),
         told=("Cache-Control: no-store", "ETag:", "Last-Modified:"), settings=capture(revalidate="no-store")),
    Case("uncacheable by path", answered=(HTML, "Cache-Control: max-age=60"), told=("Cache-Control: no-store",),
         settings=capture(no_store=("/shop/**",))),
    Case("another path", answered=(HTML, "Cache-Control: max-age=60"), told=("Cache-Control: max-age=60",),
         settings=capture(no_store=("/blog/**",))),
    Case("what is not recorded stays cacheable", None, PAGE, NONE, "status", answered=(HTML, "Cache-Control: max-age=60"),
         status=404, told=("Cache-Control: max-age=60",), settings=capture(revalidate="no-store")),
]  # fmt: skip
