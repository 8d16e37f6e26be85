"""Documents made self-contained: whatever lies in another file becomes a component of this one."""

from __future__ import annotations

from typing import Any

from crm_reference.contract.documents import Document, Node

_COMMON = "source_specs/common/"
_SECTIONS = {"responses.yaml": "responses", "headers.yaml": "headers", "parameters.yaml": "parameters"}


def _section(target: Node) -> str:
    """Tell in which section of ``components`` a common part belongs."""
    file = target.document.name.removeprefix(_COMMON)
    if file == "parameters.yaml" and "in" not in target:
        return "schemas"
    if file == "health.yaml" and "content" in target:
        return "responses"
    return _SECTIONS.get(file, "schemas")


class Inliner:
    """Copies parts of one document, and collects in :attr:`components` what they refer to in others.

    :param document: The document that becomes self-contained; its own ``#/components`` stay where they are.
    """

    def __init__(self, document: Document) -> None:
        self.document = document
        #: Section to name to inlined part.
        self.components: dict[str, dict[str, Any]] = {}

    def copy(self, node: Node) -> Any:
        """Return a copy of a value in which every reference leads to ``#/components`` of this document."""
        value = node.value
        if isinstance(value, list):
            return [self.copy(child) for child in node.entries()]
        if not isinstance(value, dict):
            return value
        copied: dict[str, Any] = {}
        for key, child in node.items():
            if key == "$ref" and isinstance(child.value, str):
                copied[key] = self.reference(node, child.value)
            elif key == "x-enum-descriptions" and "enum" in node:
                # generators read a list beside the values, Redoc a map; ours is the map
                copied[key] = [child.value.get(str(v), "No value.") for v in node.get("enum")]
                copied["x-enumDescriptions"] = child.value
            elif key == "mapping" and node.pointer.endswith("/discriminator"):
                copied[key] = {name: self.reference(node, target) for name, target in child.value.items()}
            else:
                copied[key] = self.copy(child)
        return copied

    def reference(self, node: Node, target: str) -> str:
        """Return the local form of a reference that stands in a node, taking in what it leads to."""
        found = node.document.library.follow(Node(node.document, node.pointer, {"$ref": target}))
        if found.document is self.document:
            return f"#{found.pointer}"
        section, name = _section(found), found.name
        parts = self.components.setdefault(section, {})
        if name not in parts:
            parts[name] = None  # taken, so that a schema which holds itself ends here
            parts[name] = self.copy(found)
        return f"#/components/{section}/{name}"

    def part(self, file: str, name: str) -> str:
        """Take in a part of the common documents by name, and return its reference."""
        return self.reference(Node(self.document, "", {}), f"../common/{file}#/{name}")


def merge_components(own: dict[str, Any], taken: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return components with the parts taken in, each section sorted by name."""
    merged: dict[str, Any] = {}
    for section in sorted({*own, *taken}):
        parts = {**taken.get(section, {}), **own.get(section, {})}
        if parts:
            merged[section] = dict(sorted(parts.items()))
    return merged


def prune_components(document: dict[str, Any]) -> None:
    """Remove the components that nothing refers to any more; security schemes stay."""
    components = document.get("components", {})
    while True:
        used = set(_references({k: v for k, v in document.items() if k != "components"}))
        for parts in components.values():
            for name, part in parts.items():
                used |= {r for r in _references(part) if not r.endswith(f"/{name}")}
        unused = [
            (section, name)
            for section, parts in components.items()
            if section not in ("securitySchemes", "messages")
            for name in parts
            if f"#/components/{section}/{name}" not in used
        ]
        for section, name in unused:
            del components[section][name]
        for section in [s for s, parts in components.items() if not parts]:
            del components[section]
        if not unused:
            return


def _references(value: Any) -> list[str]:
    found: list[str] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            for key, member in item.items():
                if key == "$ref" and isinstance(member, str):
                    found.append(member)
                elif key == "mapping" and isinstance(member, dict):
                    found += [m for m in member.values() if isinstance(m, str)]
                else:
                    pending.append(member)
        elif isinstance(item, list):
            pending += item
    return found
