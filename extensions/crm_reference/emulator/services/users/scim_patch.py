"""SCIM's PATCH (RFC 7644, section 3.5.2): operations applied to a resource, one after another, all or none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes
from crm_reference.emulator.services.users import scim_schemas
from crm_reference.emulator.services.users.scim_filter import FilterError, Path, Tree, matches, parse, parse_path

_TARGET = re.compile(r"(?P<path>[^\[\]]+)(?:\[(?P<filter>.+)\](?:\.(?P<sub>[$A-Za-z][\w$-]*))?)?", re.DOTALL)


def refusal(code: str, detail: str, keyword: str, /) -> Problem:
    """Return a problem with SCIM's keyword for it."""
    return Problem(code, detail, scim_type=keyword)


def apply(kind: str, resource: Mapping[str, Any], operations: Sequence[Mapping[str, Any]], /) -> dict[str, Any]:
    """Return a resource after PATCH operations; the one that was given stays as it was.

    :param kind: ``User`` or ``Group``.
    :raises Problem: ``scim_invalid_path``, ``scim_no_target`` or ``scim_mutability``.
    """
    changed = deepcopy(dict(resource))
    for operation in operations:
        name, path, value = operation["op"].lower(), operation.get("path"), operation.get("value")
        if path is None:
            _without_path(kind, changed, name, value)
        else:
            _at(kind, changed, name, path, value)
    return changed


def _without_path(kind: str, resource: dict[str, Any], operation: str, value: Any) -> None:
    if operation == "remove":
        raise refusal("scim_no_target", "A removal names what to remove in its path.", "noTarget")
    if not isinstance(value, Mapping):
        raise refusal("validation_failed", "Without a path the value must be an object of attributes.", "invalidValue")
    for key, inner in value.items():
        if key.lower() == "schemas":
            continue
        if isinstance(inner, Mapping) and key.lower().startswith("urn:"):
            for name, part in inner.items():
                _at(kind, resource, operation, f"{key}:{name}", part)
        else:
            _at(kind, resource, operation, key, inner)


def _at(kind: str, resource: dict[str, Any], operation: str, text: str, value: Any) -> None:
    if text.lower() in (urn.lower() for urn in scim_schemas.attributes(kind)):  # a whole extension
        _extension(kind, resource, operation, text, value)
        return
    path, tree, sub = _parsed(text)
    attribute = scim_schemas.find(kind, path.urn, path.name)
    inner = scim_schemas.sub(attribute, sub) if attribute and sub else None
    if attribute is None or (sub and inner is None):
        raise refusal("scim_invalid_path", f"{text} is no attribute of a {kind.lower()}.", "invalidPath")
    if "readOnly" in (attribute["mutability"], (inner or attribute)["mutability"]):
        raise refusal("scim_mutability", f"{text} is set by the server.", "mutability")
    holder = _holder(kind, resource, path)
    name = attribute["name"]
    if tree is not None:
        _selected(holder, name, attribute, operation, tree, sub, value, text)
    elif sub:
        _sub(holder, attribute, operation, inner or attribute, value)
    elif operation == "remove":
        _remove(holder, attribute, value)
    elif attribute["multiValued"]:
        given = [_fitting(attribute, v) for v in (value if isinstance(value, list) else [value])]
        holder[name] = _primary(given if operation == "replace" else _united(holder.get(name, []), given), given)
    elif attribute["type"] == "complex" and isinstance(value, Mapping) and operation == "add":
        holder[name] = {**holder.get(name, {}), **value}
    else:
        holder[name] = _fitting(attribute, value)
    _prune(resource)


def _parsed(text: str) -> tuple[Path, Tree | None, str]:
    found = _TARGET.fullmatch(text.strip())
    try:
        if found is None:
            raise FilterError("brackets are not closed, or stand where no attribute is")
        path = parse_path(found["path"])
        tree = parse(found["filter"]) if found["filter"] else None
    except FilterError as error:
        raise refusal("scim_invalid_path", f"The path {text[:120]} can't be read: {error}.", "invalidPath") from None
    return path, tree, found["sub"] or path.sub


def _holder(kind: str, resource: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the object that has the attribute: the resource, or one of its extensions."""
    core = scim_schemas.RESOURCE_TYPES[kind][1]
    if path.urn.lower() in ("", core.lower()):
        return resource
    urn = next(urn for urn in scim_schemas.attributes(kind) if urn.lower() == path.urn.lower())
    extension: dict[str, Any] = resource.setdefault(urn, {})
    return extension


def _extension(kind: str, resource: dict[str, Any], operation: str, text: str, value: Any) -> None:
    if operation == "remove":
        resource.pop(next(urn for urn in scim_schemas.attributes(kind) if urn.lower() == text.lower()), None)
        return
    for name, inner in (value if isinstance(value, Mapping) else {}).items():
        if name.lower() != "schemas":
            _at(kind, resource, operation, f"{text}:{name}", inner)


def _fitting(attribute: scim_schemas.Attribute, value: Any) -> Any:
    """Return a value in the attribute's type where a known client writes it in another.

    Truth values come as texts, references as bare texts.
    """
    if attribute["type"] == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if attribute["type"] == "complex" and isinstance(value, str):
        return {"value": value}
    if attribute["type"] == "complex" and isinstance(value, Mapping):
        subs = {s["name"]: s for s in attribute["subAttributes"]}
        return {k: _fitting(subs[k], v) if k in subs else v for k, v in value.items()}
    return value


def _united(present: list[Any], given: list[Any]) -> list[Any]:
    """Return present and new values, each once: an entry with the same ``value`` is taken over."""
    keys = [_key(v) for v in given]
    return [v for v in present if _key(v) not in keys] + given


def _key(value: Any) -> Any:
    return str(value.get("value", value)).casefold() if isinstance(value, Mapping) else value


def _primary(whole: list[Any], given: list[Any]) -> list[Any]:
    """Let one value be primary at most: the new one, where it says so (RFC 7644, section 3.5.2)."""
    new = [v for v in given if isinstance(v, Mapping) and v.get("primary")]
    if not new:
        return whole
    return [{**v, "primary": False} if isinstance(v, Mapping) and v.get("primary") and v is not new[-1] else v for v in whole]


def _remove(holder: dict[str, Any], attribute: scim_schemas.Attribute, value: Any) -> None:
    """Remove an attribute; with values, as some directories send them, those entries alone."""
    name = attribute["name"]
    if attribute["multiValued"] and isinstance(value, list) and value:
        keys = {_key(v) for v in value}
        holder[name] = [v for v in holder.get(name, []) if _key(v) not in keys]
    else:
        holder.pop(name, None)


def _sub(
    holder: dict[str, Any], attribute: scim_schemas.Attribute, operation: str, inner: scim_schemas.Attribute, value: Any
) -> None:
    """Set or remove a sub-attribute, of each entry where there are several."""
    name = attribute["name"]
    entries = (holder.get(name) or []) if attribute["multiValued"] else [holder.setdefault(name, {})]
    for entry in entries:
        if operation == "remove":
            entry.pop(inner["name"], None)
        else:
            entry[inner["name"]] = _fitting(inner, value)


def _selected(
    holder: dict[str, Any],
    name: str,
    attribute: scim_schemas.Attribute,
    operation: str,
    tree: Tree,
    sub: str,
    value: Any,
    text: str,
) -> None:
    """Work on the entries that a filter in brackets selects."""
    entries: list[dict[str, Any]] = holder.get(name, [])
    chosen = [entry for entry in entries if matches(tree, entry)]
    if not chosen and operation == "add" and sub and tree["operator"] == "eq":
        entries = holder[name] = [*entries, {tree["path"]: tree["value"]}]  # directories add a typed value in this way
        chosen = [entries[-1]]
    if not chosen:
        raise refusal("scim_no_target", f"No value of {name} fits {text[:120]}.", "noTarget")
    if operation == "remove" and not sub:
        holder[name] = [entry for entry in entries if entry not in chosen]
        return
    for entry in chosen:
        inner = scim_schemas.sub(attribute, sub) if sub else None
        if inner is None:
            entry.update(value if isinstance(value, Mapping) else {"value": value})
        elif operation == "remove":
            entry.pop(inner["name"], None)
        else:
            entry[inner["name"]] = _fitting(inner, value)
    if any(entry.get("primary") for entry in chosen):
        for entry in entries:
            if entry not in chosen and entry.get("primary"):
                entry["primary"] = False


def _prune(resource: dict[str, Any]) -> None:
    """Take away what is empty: an attribute without a value doesn't exist (RFC 7643, section 2.5)."""
    for name in [n for n, v in resource.items() if v in (None, [], {})]:
        del resource[name]
    for urn in [n for n, v in resource.items() if n.startswith("urn:") and isinstance(v, dict)]:
        _prune(resource[urn])
        if not resource[urn]:
            del resource[urn]


@computes("scim_patch")
def scim_patch(given: Mapping[str, Any]) -> dict[str, Any]:
    """Apply ``{operations}`` to ``{resource}`` of ``{kind}``; an error's keyword where they can't be."""
    try:
        return {"resource": apply(given["kind"], given["resource"], given["operations"])}
    except Problem as problem:
        return {"error": str(problem.members.get("scim_type", problem.code))}
