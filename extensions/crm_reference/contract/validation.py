"""Values against schemas, with the pointers and codes that problems carry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from crm_reference.contract.documents import BASE_URI, Library, Node
from crm_reference.contract.schema_tree import branches
from crm_reference.contract.yaml_source import escape

#: Code of a field problem by JSON Schema keyword (names as jsonschema-rs gives them).
CODES = {
    "required": "required",
    "additionalProperties": "unknown_field",
    "unevaluatedProperties": "unknown_field",
    "propertyNames": "invalid_format",
    "type": "wrong_type",
    "format": "invalid_format",
    "pattern": "invalid_format",
    "contentEncoding": "invalid_format",
    "enum": "invalid_choice",
    "const": "invalid_choice",
    "minLength": "too_short",
    "minItems": "too_short",
    "minProperties": "too_short",
    "maxLength": "too_long",
    "maxItems": "too_long",
    "maxProperties": "too_long",
    "minimum": "out_of_range",
    "maximum": "out_of_range",
    "exclusiveMinimum": "out_of_range",
    "exclusiveMaximum": "out_of_range",
    "multipleOf": "out_of_range",
    "uniqueItems": "not_unique",
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One breach of a schema.

    :param pointer: JSON Pointer without the leading ``#``; for a missing or unknown member it includes the member.
    :param code: Field code, a key of ``common/errors.yaml``.
    :param detail: What would be right.
    """

    pointer: str
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        """Return it as an entry of a problem's ``errors``."""
        return {"pointer": f"#{self.pointer}", "code": self.code, "detail": self.detail}


class Validators:
    """Compiled validators of every schema in the library, made on first use.

    :param library: All documents must have been opened.
    """

    def __init__(self, library: Library) -> None:
        resources: list[tuple[str, Any]] = [
            (d.uri, d.data) for d in library.documents.values() if d.name.startswith("source_specs/") and isinstance(d.data, dict)
        ]
        self._registry = jsonschema_rs.Registry(resources, draft=jsonschema_rs.Draft202012)
        self._compiled: dict[tuple[str, str], jsonschema_rs.Draft202012Validator] = {}
        self._library = library

    def validator(self, node: Node, /) -> jsonschema_rs.Draft202012Validator:
        """Return the compiled validator of a schema. Formats are asserted."""
        key = (node.document.name, node.pointer)
        found = self._compiled.get(key)
        if found is None:
            found = self._compiled[key] = jsonschema_rs.Draft202012Validator(
                {"$ref": node.uri}, registry=self._registry, validate_formats=True
            )
        return found

    def is_valid(self, node: Node, value: Any, /) -> bool:
        """Tell whether the value is valid."""
        return self.validator(node).is_valid(value)

    def errors(self, node: Node, value: Any, /) -> list[FieldError]:
        """Return every breach, in the order of the value; empty where it is valid.

        A union with a discriminator is judged by the branch that the value names, so that the reader is told about that
        branch's members rather than about every other branch.
        """
        validator = self.validator(node)
        if validator.is_valid(value):
            return []
        found: list[FieldError] = []
        for error in validator.iter_errors(value):
            pointer = "".join("/" + escape(str(part)) for part in error.instance_path)
            if error.kind.name in ("oneOfNotValid", "oneOf", "oneOfMultipleValid", "anyOf"):
                found += self._branch_errors(node, value, list(error.instance_path), pointer)
            else:
                found += _field_errors(error, pointer)
        return _once(found)

    def _branch_errors(self, node: Node, value: Any, path: list[str | int], pointer: str) -> list[FieldError]:
        part = value
        for key in path:
            part = part[key]
        union = _schema_at(node, path, value)
        forms = branches(union) if union is not None else ()
        only = forms[0] if len(forms) == 1 else None
        if only is not None:
            return [FieldError(pointer + e.pointer, e.code, e.detail) for e in self.errors(only, part)]
        if union is None or "discriminator" not in union:
            return [FieldError(pointer, "invalid_value", "must match one of the forms that the field table lists")]
        said = union.get("discriminator")
        name = said["propertyName"]
        if not isinstance(part, dict):
            return [FieldError(pointer, "wrong_type", "must be an object")]
        if name not in part:
            return [FieldError(f"{pointer}/{name}", "required", f"{name} is required: it says which form this is")]
        mapping = said.get("mapping", {})
        if not isinstance(part[name], str):
            return [FieldError(f"{pointer}/{name}", "wrong_type", "must be a string")]
        if part[name] not in mapping:
            return [FieldError(f"{pointer}/{name}", "invalid_choice", "must be one of " + ", ".join(mapping))]
        reference = Node(union.document, union.pointer, {"$ref": mapping[part[name]]}).resolved()
        return [FieldError(pointer + e.pointer, e.code, e.detail) for e in self.errors(reference, part)]


def _once(found: list[FieldError]) -> list[FieldError]:
    """Return each breach once; of a text whose length is wrong nobody has to be told that its form is wrong too."""
    lengths = {e.pointer for e in found if e.code in ("too_short", "too_long")}
    return [e for e in dict.fromkeys(found) if e.code != "invalid_format" or e.pointer not in lengths]


def _schema_at(node: Node, path: list[str | int], value: Any) -> Node | None:
    """Follow a value's path down its schema, through properties, items and the branches that discriminators name."""
    schema = node.resolved()
    for key in path:
        if "discriminator" in schema and isinstance(value, dict):
            said = schema.get("discriminator")
            target = said.get("mapping", {}).get(value.get(said["propertyName"]))
            if target is None:
                return None
            schema = Node(schema.document, schema.pointer, {"$ref": target}).resolved()
        if isinstance(key, int):
            if "items" not in schema:
                return None
            schema = schema.child("items").resolved()
        elif key in schema.get("properties", {}):
            schema = schema.child("properties").child(key).resolved()
        elif isinstance(schema.get("additionalProperties"), dict):
            schema = schema.child("additionalProperties").resolved()
        else:
            return None
        value = value[key]
    return schema


def _field_errors(error: Any, pointer: str) -> list[FieldError]:
    kind = error.kind
    name = kind.name
    code = CODES.get(name, "invalid_value")
    if name == "required":
        return [FieldError(f"{pointer}/{escape(kind.property)}", code, f"{kind.property} is required")]
    if name in ("additionalProperties", "unevaluatedProperties"):
        return [
            FieldError(f"{pointer}/{escape(member)}", code, f"{member} is not a member that can be sent here")
            for member in kind.unexpected
        ]
    return [FieldError(pointer, code, _detail(name, kind, error.message))]


#: What the limits of lengths count, for one and for more.
_UNITS = {"Length": ("character", "characters"), "Items": ("entry", "entries"), "Properties": ("member", "members")}


def _detail(name: str, kind: Any, message: str) -> str:
    """Say what would be right, without repeating the value: it may be a secret."""
    match name:
        case "type":
            types = getattr(kind, "types", None) or [getattr(kind, "type", "another type")]
            return "must be " + " or ".join(_article(t) for t in sorted(types))
        case "format":
            return f"must have the format {kind.format}"
        case "pattern":
            return f"must match {kind.pattern}"
        case "enum":
            options = kind.options if isinstance(kind.options, list) else orjson.loads(kind.options)
            return "must be one of " + ", ".join(map(str, options))
        case "const":
            return f"must be {kind.expected_value}"
        case "minLength" | "minItems" | "minProperties" | "maxLength" | "maxItems" | "maxProperties":
            one, many = _UNITS[name[3:]]
            bound = "least" if name.startswith("min") else "most"
            return f"must have at {bound} {kind.limit} {one if int(kind.limit) == 1 else many}"
        case "minimum" | "maximum":
            return f"must be at {'least' if name == 'minimum' else 'most'} {kind.limit}"
        case "uniqueItems":
            return "must not hold an entry twice"
        case "propertyNames":
            return "has a member whose name has the wrong form"
    return message if len(message) < 200 else "is not valid"


def _article(name: str) -> str:
    return f"an {name}" if name[0] in "aio" else f"a {name}" if name != "null" else name


__all__ = ["BASE_URI", "CODES", "FieldError", "Validators"]
