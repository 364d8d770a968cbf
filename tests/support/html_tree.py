"""A document as another parser reads it, by which insertion and copies are judged."""

from __future__ import annotations

from typing import Any


class Tree:
    """A document, our scripts left out.

    :param token: what our scripts bear as ``data-lbc-token``.
    :ivar shown: every node with its depth, namespace and attributes; text next to text is one.
    :ivar ours: for each script of ours, whether it is one that would run.
    """

    def __init__(self, document: bytes, token: str = "TOKEN") -> None:
        self.shown: list[tuple[Any, ...]] = []
        self.ours: list[bool] = []
        self._token = token
        from justhtml import JustHTML  # 0.3 s; no quick test reads a document

        self._walk(JustHTML(document, sanitize=False, encoding="utf-8").root, 0, True)

    def _walk(self, node: Any, depth: int, live: bool) -> None:
        if node.name == "#text":
            if self.shown and self.shown[-1][:2] == ("#text", depth):
                self.shown[-1] = ("#text", depth, self.shown[-1][2] + node.data)
            else:
                self.shown.append(("#text", depth, node.data))
            return
        if node.name == "!doctype":
            # Quirks mode follows from the doctype alone: the same one, the same mode.
            said = node.data
            self.shown.append(("!doctype", depth, said.name, said.public_id, said.system_id, said.force_quirks))
            return
        if node.name == "#comment":
            self.shown.append(("#comment", depth, node.data))
            return
        attributes = node.attrs or {}
        if node.name == "script" and attributes.get("data-lbc-token") == self._token:
            self.ours.append(live and node.namespace == "html")
            return
        self.shown.append((node.name, depth, getattr(node, "namespace", None), sorted(attributes.items(), key=str)))
        if getattr(node, "template_content", None) is not None:
            self._walk(node.template_content, depth + 1, False)
        for child in node.children or ():
            self._walk(child, depth + 1, live)
