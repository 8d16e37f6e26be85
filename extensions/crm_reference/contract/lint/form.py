"""The form of documents, judged without a model: what to say where nothing can be built of them.

The model reads what it needs and trusts the form of the rest. Where a document breaks that trust, whatever read it fails with an
error about types; :func:`malformed` then finds the place that is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs

from crm_reference.contract.documents import Document, Library, Node
from crm_reference.contract.findings import ContractError, Finding
from crm_reference.contract.lint.documents import document_errors, oas_validator
from crm_reference.contract.yaml_source import escape

#: What an error is that malformed data causes.
FORM_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError)

_TEXT = {"type": "string"}
_TABLE = {"type": "object"}
_FACET = {"type": "object", "properties": {"floor": {"type": "integer"}, "needs": {"type": "array"}}}
_REQUIREMENTS = {
    "additionalProperties": {
        "type": "object",
        "properties": {
            "title": _TEXT,
            "text": _TEXT,
            "criteria": {
                "additionalProperties": {
                    "type": "object",
                    "properties": {"service": _TEXT, "facets": {"type": "object", "additionalProperties": _FACET}},
                },
                "type": "object",
            },
        },
    }
}
_VECTORS = {
    "required": ["computation", "cases"],
    "properties": {
        "computation": _TEXT,
        "cases": {"type": "array", "items": {"type": "object", "required": ["name", "input", "output"]}},
    },
}
_RECORDED = {
    "additionalProperties": {
        "type": "object",
        "required": ["request", "response"],
        "properties": {
            "request": {"type": "object", "required": ["method", "url"]},
            "response": {"type": "object", "required": ["status"], "properties": {"status": {"type": "integer"}}},
        },
    }
}

_WORLD = {
    "properties": {
        "records": {"additionalProperties": {"items": {"type": "object", "required": ["id"], "properties": {"id": _TEXT}}}},
        "principals": {"additionalProperties": {"type": "object", "properties": {"scopes": {"items": _TEXT}}}},
    }
}
_SCRIPT = {"type": "object", "properties": {"status": {"type": "integer"}}}
_EXCHANGES = {
    "additionalProperties": {"type": "object", "additionalProperties": {"type": "object", "properties": {"response": _SCRIPT}}}
}

#: Pattern of files to their schema: data, or the name of a file in ``source_specs/common``.
_FORMS: tuple[tuple[str, dict[str, Any] | str], ...] = (
    ("source_specs/requirements.yaml", _REQUIREMENTS),
    ("source_specs/common/policies.yaml", {"additionalProperties": {"type": "object", "properties": {"rate": _TABLE}}}),
    (
        "source_specs/common/errors.yaml",
        {"additionalProperties": {"type": "object", "properties": {"status": {"type": "integer"}}}},
    ),
    ("source_specs/*/service.yaml", "manifest.yaml"),
    ("source_specs/*/asyncapi.yaml", "asyncapi.yaml"),
    ("examples/*.yaml", "examples.yaml"),
    ("examples/*.yaml", _EXCHANGES),
    ("examples/world/*.yaml", "world.yaml"),
    ("examples/world/*.yaml", _WORLD),
    ("examples/hostile/*.yaml", "hostile.yaml"),
    ("examples/vectors/*/*.yaml", _VECTORS),
    ("examples/recorded/*.json", _RECORDED),
)


def malformed(root: Path, /) -> list[Finding]:
    """Return where documents of a project have the wrong form, sorted by place; empty where all have the right one.

    :param root: Folder that holds ``source_specs`` and ``examples``.
    """
    library = Library(root)
    found: list[Finding] = []
    try:
        for document in _services(library, "openapi.yaml"):
            found += _findings(oas_validator(), document)
            found += _dialect(document)
        for pattern, form in _FORMS:
            validator = _validator(library, form)
            for document in library.glob(pattern):
                if "/common/" not in document.name or not isinstance(form, str):
                    found += _findings(validator, document)
        for folder in (root / "examples").glob("*"):
            if folder.name not in ("world", "hostile", "vectors", "recorded", "baseline"):
                for document in library.glob(f"examples/{folder.name}/*.yaml"):
                    found += _findings(_validator(library, "examples.yaml"), document)
                    found += _findings(_validator(library, _EXCHANGES), document)
    except ContractError as error:
        return list(error.findings)
    return sorted(set(found), key=lambda f: (f.place.document.name, f.place.line, f.message))


def _services(library: Library, name: str) -> Iterator[Document]:
    yield from library.glob(f"source_specs/*/{name}")


def _validator(library: Library, form: dict[str, Any] | str) -> jsonschema_rs.Draft202012Validator:
    schema: Any = {"type": "object", **form} if isinstance(form, dict) else library.open(f"source_specs/common/{form}").data
    return jsonschema_rs.Draft202012Validator(schema)


def _findings(validator: Any, document: Document) -> Iterator[Finding]:
    for place, message in document_errors(validator, document, document.data):
        yield Finding(place, "document.form", message)


def _dialect(document: Document) -> Iterator[Finding]:
    """Yield the schemas of an OpenAPI document that are no JSON Schemas."""
    components = document.data.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    for name, schema in schemas.items() if isinstance(schemas, dict) else ():
        try:
            jsonschema_rs.meta.validate(schema)
        except (jsonschema_rs.ValidationError, ValueError) as error:
            path = getattr(error, "instance_path", ())
            pointer = "".join("/" + escape(str(part)) for part in ("components", "schemas", name, *path))
            message = f"{name} is no JSON Schema: {getattr(error, 'message', error)!s:.160}; correct the keyword"
            yield Finding(Node(document, pointer, None).place, "document.form", message)
