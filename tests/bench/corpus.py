"""A synthetic corpus: 33 services of three resources each, about a thousand operations, written as a project of this kind.

It is made to measure and not to be read: every resource is alike but for its name.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import orjson

ROOT = Path(__file__).resolve().parents[2]
RESOURCES = ("crate", "pallet", "parcel")


def write(target: Path, services: int = 33, *, record: bool = True) -> Path:
    """Write the corpus as a project.

    :param target: Folder to make; what it held is removed.
    :param services: How many services; each has 31 operations.
    :param record: Whether the exchanges are run, so that pages show answers.
    """
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "source_specs/common", target / "source_specs/common")
    for number in range(services):
        slug = "service-" + "".join("abcdefghij"[int(d)] for d in f"{number:02d}")
        _service(target, slug, number)
    _json(target / "source_specs/requirements.yaml", {"REQ-1": {"title": "All", "text": "All.", "criteria": {}}})
    _world(target)
    if record:
        from crm_reference.contract import load
        from crm_reference.emulator import Engine
        from crm_reference.exchanges import record as run

        contract = load(target)
        done = run(contract, Engine(contract))
        assert not done.findings, done.findings[0]
    return target


#: The body of a record, whose code must differ from the others'.
BODY: dict[str, Any] = {"name": "Large crate", "code": "C-1", "weight": 12, "tags": ["one", "two"], "note": "Handle with care."}


def _json(path: Path, data: Any) -> None:
    """Write data as JSON, which is YAML too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(data, option=orjson.OPT_INDENT_2))


def _service(target: Path, slug: str, number: int) -> None:
    base = target / "source_specs" / slug
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    exchanges: dict[str, Any] = {}
    for index, kind in enumerate(RESOURCES):
        prefix = "".join("abcdefghijklmnopqrstuvwxyz"[d] for d in (number // 26, number % 26, index))
        this = _Kind(slug, kind, prefix)
        paths |= _paths(this)
        schemas |= _schemas(this)
        exchanges |= _exchanges(this)
    _health(slug, paths)
    _json(
        base / "openapi.yaml",
        {
            "openapi": "3.1.0",
            "info": {"title": slug, "version": "1.0.0", "description": "A service to measure with."},
            "servers": [{"url": "https://api.crm.example/v1"}],
            "tags": [{"name": k, "x-displayName": k.title(), "description": f"All about a {k}."} for k in (*RESOURCES, "operate")],
            "paths": paths,
            "components": {"schemas": schemas, "securitySchemes": {"oauth2": {"$ref": "../common/security.yaml#/oauth2"}}},
        },
    )
    _json(
        base / "asyncapi.yaml", {"asyncapi": "3.0.0", "info": {"title": slug, "version": "1.0.0"}, "channels": {}, "components": {}}
    )
    _json(base / "service.yaml", _manifest(slug))
    _json(target / "examples" / f"{slug}.yaml", exchanges)


@dataclass(frozen=True)
class _Kind:
    """A resource of a service: its names, and the ID that its records have."""

    slug: str
    kind: str
    prefix: str

    @property
    def noun(self) -> str:
        return "".join(p.title() for p in self.slug.split("-")) + self.kind.title()

    @property
    def collection(self) -> str:
        return f"{self.slug}-{self.kind}s"

    @property
    def id_schema(self) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": f"^{self.prefix}_[0-7][0-9A-HJKMNP-TV-Z]{{25}}$",
            "description": "The ID.",
            "examples": [f"{self.prefix}_01KDVDNA000000000000000101"],
        }


def _record(this: _Kind, fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"A {this.kind}.",
        "required": ["id", "object"],
        "x-resource": {
            "collection": this.collection,
            "path": f"/{this.collection}",
            "prefix": this.prefix,
            "create": f"{this.noun}Create",
            "update": f"{this.noun}Update",
            "delete": "soft",
        },
        "x-rules": [
            {
                "id": f"{this.collection}-unique",
                "kind": "unique",
                "fields": ["code"],
                "text": "The code is unique in a tenant.",
                "error": "validation_failed",
            }
        ],
        "x-query": {
            "name": {"operators": ["eq", "contains"], "sort": True, "search": True},
            "weight": {"operators": ["gte", "lte"], "sort": True},
        },
        "properties": {
            "id": this.id_schema,
            "object": {"const": this.kind, "type": "string", "description": "The kind."},
            **fields,
            "created_at": {"$ref": "../common/schemas.yaml#/Timestamp"},
            "updated_at": {"$ref": "../common/schemas.yaml#/Timestamp"},
            "version": {"$ref": "../common/schemas.yaml#/Version"},
        },
    }


def _schemas(this: _Kind) -> dict[str, Any]:
    noun, kind, fields = this.noun, this.kind, _fields()
    created = {
        "type": "object",
        "description": f"A new {kind}.",
        "additionalProperties": False,
        "required": ["name", "code"],
        "properties": fields,
    }
    updated = {
        "type": "object",
        "description": f"Changes of a {kind}.",
        "additionalProperties": False,
        "properties": fields,
    }
    page = {"type": "array", "maxItems": 200, "items": {"$ref": f"#/components/schemas/{noun}"}, "description": "The records."}
    listed = {
        "type": "object",
        "description": "A page.",
        "required": ["data", "has_more"],
        "properties": {
            "data": page,
            "has_more": {"type": "boolean", "description": "Whether more come."},
            "next_cursor": {"$ref": "../common/schemas.yaml#/Cursor"},
        },
    }
    return {noun: _record(this, fields), f"{noun}Create": created, f"{noun}Update": updated, f"{noun}Page": listed}


def _operation(
    this: _Kind, verb: str, tail: str, policy: str, status: str, body: str = "", answer: str | None = None, **more: Any
) -> dict[str, Any]:
    noun, kind = this.noun, this.kind
    answer = noun if answer is None else answer
    errors = {
        s: {"$ref": f"../common/responses.yaml#/{n}"} for s, n in _ERRORS.items() if s not in ("404", "412") or "{" in tail
    }
    made: dict[str, Any] = {
        "operationId": f"{verb}{noun}",
        "summary": f"{verb.title()} a {kind}",
        "description": (
            f"Does what the summary says with a {kind} of this service, once, for the caller's tenant, "
            "and answers with what came of it."
        ),
        "tags": [kind],
        "x-policy": policy,
        "responses": {
            status: {
                "description": "Done.",
                **({"content": {"application/json": {"schema": {"$ref": _ref(answer)}}}} if answer else {}),
            },
            **errors,
        },
        "x-security": "The caller must be allowed to see the record, or the answer is as if there were none.",
        "security": [{"oauth2": [f"{this.slug}.write"]}],
        **more,
    }
    if body:
        media = "application/merge-patch+json" if verb == "update" else "application/json"
        made["requestBody"] = {"required": True, "content": {media: {"schema": {"$ref": _ref(body)}}}}
    return made


def _paths(this: _Kind) -> dict[str, Any]:
    noun, kind, path = this.noun, this.kind, f"/{this.collection}"
    parameter = {"name": f"{kind}_id", "in": "path", "required": True, "description": "The ID.", "schema": this.id_schema}
    op = partial(_operation, this)
    lists = [{"$ref": f"../common/parameters.yaml#/{n}"} for n in ("Limit", "Cursor", "Sort", "Fields")]
    many = {
        "get": op("list", "", "list", "200", answer=f"{noun}Page", parameters=lists),
        "post": op("create", "", "write", "201", f"{noun}Create"),
    }
    search = {"post": op("search", "", "search", "200", "SearchRequest", f"{noun}Page")}
    count = {"post": op("count", "", "search", "200", "CountRequest", "CountResult")}
    matched = [{"$ref": "../common/parameters.yaml#/IfMatch"}]
    one = {
        "parameters": [parameter],
        "get": op("get", "{", "read", "200"),
        "patch": op("update", "{", "write", "200", f"{noun}Update", parameters=matched),
        "delete": op("delete", "{", "write", "204", answer=""),
    }
    restore = {"parameters": [parameter], "post": op("restore", "{", "write", "200")}
    at = f"{path}/{{{kind}_id}}"
    return {path: many, f"{path}/search": search, f"{path}/count": count, at: one, f"{at}/restore": restore}


def _exchanges(this: _Kind) -> dict[str, Any]:
    noun, kind = this.noun, this.kind
    made = {**BODY, "name": f"Large {kind}"}
    chosen = {f"{kind}_id": f"${{create{noun}/full#/id}}"}
    first = {"given": [f"create{noun}/full"]}
    return {
        f"create{noun}": {
            "full": {"summary": f"Create a {kind} in full", "request": {"body": made}, "expect": {"status": 201}},
            "empty": {"summary": "Send nothing useful", "request": {"body": {}}, "expect": {"status": 422}},
        },
        f"list{noun}": {"page": {"summary": "Read a page", **first, "request": {"query": {"limit": 2}}, "expect": {"status": 200}}},
        f"search{noun}": {
            "words": {"summary": "Search by words", **first, "request": {"body": {"query": "large"}}, "expect": {"status": 200}}
        },
        f"count{noun}": {"all": {"summary": "Count them all", **first, "request": {"body": {}}, "expect": {"status": 200}}},
        f"get{noun}": {"one": {"summary": "Read it back", **first, "request": {"path": chosen}, "expect": {"status": 200}}},
        f"update{noun}": {
            "weight": {
                "summary": "Change its weight",
                **first,
                "request": {"path": chosen, "body": {"weight": 13}},
                "expect": {"status": 200},
            }
        },
        f"delete{noun}": {"one": {"summary": "Delete it again", **first, "request": {"path": chosen}, "expect": {"status": 204}}},
        f"restore{noun}": {
            "one": {
                "summary": "Bring it back",
                "given": [f"create{noun}/full", f"delete{noun}/one"],
                "request": {"path": chosen},
                "expect": {"status": 200},
            }
        },
    }


_ERRORS = {
    "400": "BadRequest", "401": "Unauthorized", "403": "Forbidden", "404": "NotFound", "412": "PreconditionFailed",
    "413": "ContentTooLarge", "415": "UnsupportedMediaType", "422": "Unprocessable", "429": "TooManyRequests",
    "500": "ServerError", "503": "Unavailable",
}  # fmt: skip


def _ref(name: str) -> str:
    return (
        f"../common/schemas.yaml#/{name}"
        if name in ("SearchRequest", "CountRequest", "CountResult")
        else f"#/components/schemas/{name}"
    )


def _fields() -> dict[str, Any]:
    texts = {
        n: {
            "type": "string",
            "description": f"The {n}, as people write it down.",
            "minLength": 1,
            "maxLength": 120,
            "examples": [n],
        }
        for n in ("name", "code", "note", "colour", "origin", "place", "state", "remark")
    }
    return texts | {
        "weight": {
            "type": "integer",
            "format": "int32",
            "description": "Weight in kilograms.",
            "minimum": 0,
            "maximum": 9999,
            "examples": [12],
        },
        "is_open": {"type": "boolean", "description": "Whether it is open.", "examples": [True]},
        "email": {"$ref": "../common/schemas.yaml#/Email"},
        "address": {"$ref": "../common/schemas.yaml#/PostalAddress"},
        "price": {"$ref": "../common/schemas.yaml#/Money"},
        "tags": {"type": "array", "maxItems": 20, "items": {"$ref": "../common/schemas.yaml#/Tag"}, "description": "Labels."},
        "due_on": {"$ref": "../common/schemas.yaml#/Day"},
    }


def _health(slug: str, paths: Any) -> None:
    noun = "".join(p.title() for p in slug.split("-"))
    answers = {"live": "Live", "ready": "Ready"}
    for tail, answer in answers.items():
        paths[f"/{slug}/health/{tail}"] = {"get": _probe(noun + answer, answer, public=True)}
    paths[f"/{slug}/health"] = {"get": _probe(noun + "Health", "Health", public=False, slug=slug)}
    paths[f"/{slug}/metrics"] = {"get": _probe(noun + "Metrics", "Metrics", public=False, slug=slug)}


def _probe(name: str, answer: str, *, public: bool, slug: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"get{name}",
        "summary": f"Read {answer}",
        "description": "A probe of the service.",
        "tags": ["operate"],
        "x-policy": "health",
        "responses": {
            "200": {"$ref": f"../common/health.yaml#/{answer}"},
            "503": {"$ref": "../common/responses.yaml#/Unavailable"},
        },
    }
    return made | (
        {"x-public": "Probes carry no token at all.", "security": []} if public else {"security": [{"oauth2": [f"{slug}.write"]}]}
    )


def _manifest(slug: str) -> dict[str, Any]:
    deployment = {
        "port": 8080,
        "internal_port": 9090,
        "processes": [],
        "storage": {"engine": "postgresql", "why": "It fits.", "index_factor": 1.5},
        "migrations": "None.",
        "probes": {"liveness": "", "readiness": "", "startup": ""},
        "scaling": {"signal": "", "target": "", "text": ""},
    }
    lists = ("stores", "calls", "configuration", "metrics", "runbook", "seeds")
    return {
        "slug": slug,
        "title": slug.title(),
        "summary": "A service to measure with, which keeps crates, pallets and parcels.",
        "segments": [slug, *(f"{slug}-{k}s" for k in RESOURCES)],
        "boundary": {"owns": [], "excludes": []},
        "scopes": {f"{slug}.write": {"description": "Do everything.", "roles": ["administrator"]}},
        "charter": {},
        "events": {"emits": [], "hears": []},
        "deployment": deployment,
        "service_levels": {"availability_percent": 99.9, "error_budget": "", "latency": {}},
        "errors": {},
        **{name: [] for name in lists},
    }


def _world(target: Path) -> None:
    person = {
        "text": "Maya",
        "tenant": "ten_01KDVDNA000000000000000001",
        "user": "usr_01KDVDNA000000000000000001",
        "client": "cli_01KDVDNA000000000000000001",
        "scopes": ["*"],
    }
    _json(target / "examples/world/people.yaml", {"principals": {"maya": person}, "records": {}})
