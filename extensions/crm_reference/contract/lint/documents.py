"""Documents: the OpenAPI meta-schema, the head of each document, and how its YAML is laid out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson

from crm_reference.contract.documents import Document, Node
from crm_reference.contract.findings import ContractError
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import COMMON, Survey
from crm_reference.contract.yaml_source import escape

#: Where openapi-spec-validator keeps the schema of OpenAPI 3.1; read as a file, since importing the package takes half a second.
_OAS_SCHEMA = "openapi_spec_validator/resources/schemas/v3.1/schema.json"

SERVERS = ("https://api.crm.example/v1", "https://sandbox.crm.example/v1")

#: The order of an operation's members.
KEY_ORDER = (
    *("operationId", "summary", "description", "tags", "x-requirements", "x-policy", "x-profile", "x-consistency"),
    *("parameters", "requestBody", "responses", "callbacks", "x-errors", "x-events", "x-security", "x-public"),
    *("security", "deprecated"),
)
#: Members whose place in the order is free.
_LOOSE = frozenset({"x-profile", "x-consistency", "x-public", "x-deprecated-since", "x-sunset", "x-replaced-by"})


@cache
def oas_validator() -> jsonschema_rs.Draft202012Validator:
    """Return the validator of OpenAPI 3.1 documents (schema of 2022-10-07)."""
    path = Path(str(distribution("openapi-spec-validator").locate_file(_OAS_SCHEMA)))
    return jsonschema_rs.Draft202012Validator(orjson.loads(path.read_bytes()))


def document_errors(validator: Any, document: Document, data: Any) -> Iterator[Problem]:
    """Yield what a JSON Schema finds wrong with a document, at its lines."""
    for error in validator.iter_errors(data):
        pointer = "".join("/" + escape(str(part)) for part in error.instance_path)
        message = error.message if len(error.message) < 240 else f"breaks {error.kind.name}"
        yield Node(document, pointer, None).place, f"{pointer or 'the document'}: {message}; mend it as the standard asks"


@rule("ref.dangling")
def check_references(survey: Survey) -> Iterator[Problem]:
    """Every reference leads somewhere."""
    documents = [survey.common(path.name) for path in sorted((survey.contract.library.root / COMMON).glob("*.yaml"))]
    for service in survey.services:
        documents += [service.openapi, service.asyncapi]
    for document in documents:
        for node in _references(document.root):
            try:
                node.resolved()
            except ContractError as error:
                for finding in error.findings:
                    yield finding.place, finding.message


def _references(node: Node) -> Iterator[Node]:
    if isinstance(node.value, dict):
        if isinstance(node.value.get("$ref"), str) and not node.value["$ref"].startswith("https://"):
            yield node
        for _, child in node.items():
            yield from _references(child)
    elif isinstance(node.value, list):
        for child in node.entries():
            yield from _references(child)


@rule("openapi.schema")
def check_openapi(survey: Survey) -> Iterator[Problem]:
    """An OpenAPI document is valid by the meta-schema of OpenAPI 3.1."""
    for service in survey.services:
        yield from document_errors(oas_validator(), service.openapi, service.openapi.data)


@rule("schema.dialect")
def check_dialect(survey: Survey) -> Iterator[Problem]:
    """A schema is valid by the meta-schema of JSON Schema 2020-12."""
    for site in survey.sites:
        if site.role in ("component", "parameter", "header", "media"):
            try:
                jsonschema_rs.meta.validate(site.node.value)
            except jsonschema_rs.ValidationError as error:
                where = "".join("/" + escape(str(part)) for part in error.instance_path)
                place = Node(site.node.document, site.node.pointer + where, None).place
                yield place, f"{site.label}{where} is no JSON Schema: {error.message[:160]}; correct the keyword"


@rule("openapi.head")
def check_head(survey: Survey) -> Iterator[Problem]:
    """The document is OpenAPI 3.1.0 with title, summary, description, semantic version, contact, licence and both servers."""
    for service in survey.services:
        root = service.openapi.root
        info = root.child("info") if "info" in root else root
        if root.get("openapi") != "3.1.0":
            yield root.place, f"openapi is {root.get('openapi')!r}; write 3.1.0"
        for key in ("title", "summary", "description", "version", "contact", "license"):
            if not info.get(key):
                yield info.place, f"info has no {key}; add it"
        if not re.fullmatch(r"\d+\.\d+\.\d+", str(info.get("version", "1.0.0"))):
            yield info.place, f"the version {info.get('version')!r} is not semantic; write three numbers"
        licence = info.get("license") or {}
        if not licence.get("url") and not licence.get("identifier"):
            yield info.place, "the license has no url and no identifier; add one"
        servers = [s.get("url") for s in root.entries("servers")]
        if tuple(servers) != SERVERS or not all(s.get("description") for s in root.entries("servers")):
            yield root.place, f"servers are {servers}; list {SERVERS[0]} and {SERVERS[1]}, each with a description"


@rule("openapi.tags")
def check_tags(survey: Survey) -> Iterator[Problem]:
    """A service has 3 to 14 tags, `operate` among them, each with a title, a description and operations; an operation has one."""
    for service in survey.services:
        root = service.openapi.root
        tags = {str(t.get("name")): t for t in root.entries("tags")}
        if not 3 <= len(tags) <= 14 or "operate" not in tags:
            yield root.place, f"has the tags {', '.join(tags) or 'none'}; declare 3 to 14, operate among them"
        used = {o.tag for o in service.operations}
        for name, tag in tags.items():
            for key in ("x-displayName", "description"):
                if not tag.get(key):
                    yield tag.place, f"the tag {name} has no {key}; add it"
            if name not in used:
                yield tag.place, f"the tag {name} has no operation; use or remove it"
        for operation in service.operations:
            if len(operation.node.get("tags", ())) != 1 or operation.tag not in tags:
                yield operation.place, f"{operation.id} must have one tag that the document declares, not {operation.tag!r}"


@rule("openapi.webhooks")
def check_webhooks(survey: Survey) -> Iterator[Problem]:
    """A service's document has no webhooks, which openapi-generator's Python client can't read."""
    for service in survey.services:
        if "webhooks" in service.openapi.root:
            place = service.openapi.root.child("webhooks").place
            yield place, "webhooks break openapi-generator; describe the event in asyncapi.yaml"


@rule("openapi.body-example")
def check_examples(survey: Survey) -> Iterator[Problem]:
    """Specs hold no examples of bodies: these are exchanges, which run."""
    for operation in survey.operations:
        nodes = [operation.node.child("requestBody")] if operation.body else []
        nodes += [n for _, n in operation.node.items("responses")]
        for node in nodes:
            for _, media in node.items("content"):
                if "example" in media or "examples" in media:
                    yield media.place, f"{operation.id} holds an example; move it to {survey.example_file(operation.service)}"


@rule("operation.key-order")
def check_key_order(survey: Survey) -> Iterator[Problem]:
    """The members of an operation stand in the fixed order."""
    for operation in survey.operations:
        keys = [k for k in operation.node.value if k not in _LOOSE]
        unknown = [k for k in operation.node.value if k not in KEY_ORDER]
        for key in unknown:
            yield operation.node.child(key).place, f"{operation.id} has {key}, which the house order doesn't know; remove it"
        known = [k for k in keys if k not in unknown]
        wanted = sorted(known, key=KEY_ORDER.index)
        for key, right in zip(known, wanted, strict=True):
            if key != right:
                yield operation.node.child(key).place, f"{operation.id} has {key} where {right} belongs; order its members"
                break


def _texts(survey: Survey) -> Iterator[tuple[Document, list[str]]]:
    for service in survey.services:
        for document in (service.openapi, service.asyncapi, service.manifest.node.document):
            yield document, document.path.read_text(encoding="utf-8").splitlines()


def _at(document: Document, line: int) -> Any:
    """Return the place of a line: that of the last pointer that begins on it or before."""
    pointers = [(n, p) for p, n in document.lines.items() if n <= line]
    return Node(document, max(pointers)[1] if pointers else "", None).place


@rule("yaml.status-quoted")
def check_status_quoted(survey: Survey) -> Iterator[Problem]:
    """Status codes are quoted, since YAML reads bare ones as numbers."""
    for document, lines in _texts(survey):
        if document.name.endswith("openapi.yaml"):
            for number, line in enumerate(lines, 1):
                if match := re.match(r"\s+([1-5]\d\d):", line):
                    yield _at(document, number), f"the status {match[1]} is bare; write '{match[1]}'"


@rule("yaml.indent")
def check_indent(survey: Survey) -> Iterator[Problem]:
    """YAML is indented by two spaces, without tabs."""
    for document, lines in _texts(survey):
        for number, line in enumerate(lines, 1):
            indent = line[: len(line) - len(line.lstrip())]
            if "\t" in indent or (len(indent) % 2 and not line.lstrip().startswith("#")):
                yield _at(document, number), f"line {number} is indented by {len(indent)} characters; indent by two spaces"


@rule("yaml.blank-line")
def check_blank_lines(survey: Survey) -> Iterator[Problem]:
    """A blank line stands between operations."""
    for service in survey.services:
        lines = service.openapi.path.read_text(encoding="utf-8").splitlines()
        first_in_item: set[str] = set()
        for index, operation in enumerate(service.operations):
            pointer, _, _ = operation.node.pointer.rpartition("/")
            is_first = pointer not in first_in_item
            first_in_item.add(pointer)
            start = service.openapi.lines[pointer if is_first else operation.node.pointer]
            if index and start >= 2 and lines[start - 2].strip() and not lines[start - 2].lstrip().startswith("#"):
                yield operation.place, f"{operation.id} follows without a blank line; put one before it"
