"""One operation as doctree nodes: structure in sections, targets and paragraphs, the rest in bulk nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from docutils import nodes

from crm_reference.contract import Contract, Node, Operation, Parameter, Policy, Response, Service
from crm_reference.sphinx import words
from crm_reference.sphinx.domain import CrmDomain
from crm_reference.sphinx.exchanges import anchor_of, exchange_panel, status_words
from crm_reference.sphinx.lookups import Lookups
from crm_reference.sphinx.markup import reference_node, to_nodes
from crm_reference.sphinx.rendering import bulk, make_namer
from crm_reference.sphinx.trees import Field, build_tree, schema_name

#: Statuses that the platform answers with in one way for all operations, and the codes that they carry.
_SAFE = ("GET", "HEAD", "OPTIONS")


class OperationWriter:
    """Writes the sections of a service's operations on one page.

    :param linked: Schemas with a section of their own, which trees name and don't expand.
    """

    def __init__(
        self, lookups: Lookups, service: Service, domain: CrmDomain, document: nodes.document, docname: str,
        linked: Collection[str],
    ) -> None:  # fmt: skip
        contract = lookups.contract
        self._lookups = lookups
        self._contract = contract
        self._service = service
        self._domain = domain
        self._document = document
        self._docname = docname
        self._linked = linked
        self._namer = make_namer(contract)

    def section(self, operation: Operation) -> nodes.section:
        """Return the section of one operation and note it in the domains."""
        place = str(operation.place)
        anchors = self._domain.note_operation(operation, self._docname, place)
        section = nodes.section(ids=list(anchors), names=[], classes=["operation", f"op-{operation.method.lower()}"])
        self._document.note_explicit_target(section, section)
        section += nodes.title("", operation.summary)
        section += self._bulk("head", head(operation, self._lookups), f"{operation.id} {operation.method} {operation.path}")
        main = nodes.container(classes=["op-main"])
        main.extend(self._main(operation))
        section += main
        exchanges = self._lookups.exchanges_of(operation.id)
        panel = exchange_panel(sorted(exchanges, key=lambda e: not e.succeeds), operation, self._docname)
        if panel is not None:
            section += panel
        return section

    def _bulk(self, template: str, data: dict[str, Any], text: str = "") -> nodes.Node:
        return bulk(template, data, self._docname, text)

    def _main(self, operation: Operation) -> Iterator[nodes.Node]:
        if operation.deprecated:
            yield self._farewell(operation)
        yield from to_nodes(operation.description, self._namer)
        if operation.security_note or operation.public:
            yield self._heading("Security considerations")
            note = nodes.container(classes=["op-security"])
            note.extend(to_nodes(operation.public, self._namer) if operation.public else [])
            note.extend(to_nodes(operation.security_note, self._namer))
            yield note
        if operation.parameters:
            parameters = [self.parameter(operation, p) for p in operation.parameters]
            yield self._heading("Parameters")
            text = " ".join(p["field"].text() for p in parameters)
            yield self._bulk("parameters", {"operation": operation.id, "groups": _grouped(parameters)}, text)
        if operation.body is not None:
            yield self._heading("Request body")
            yield from to_nodes(operation.body.description, self._namer)
            for media, schema in operation.body.media.items():
                tree = build_tree(schema)
                data = {"anchor": f"{operation.id}.body", "media": media, "tree": tree, "required": operation.body.required}
                yield self._bulk("body", data, tree.text())
        yield from self._answers(operation)

    def _farewell(self, operation: Operation) -> nodes.Node:
        """Return what replaces a deprecated operation and when it ends, as far as its document says so."""
        by, ends = operation.node.get("x-replaced-by"), operation.node.get("x-sunset")
        text = f"Deprecated{f': it stops answering on {ends}' if ends else ''}."
        paragraph = nodes.paragraph("", text, classes=["op-deprecated"])
        if by:
            paragraph += [nodes.Text(" Use "), reference_node("operation", str(by), code=True), nodes.Text(" instead.")]
        return paragraph

    def _heading(self, text: str) -> nodes.rubric:
        return nodes.rubric("", text, classes=["op-heading"])

    def parameter(self, operation: Operation, parameter: Parameter) -> dict[str, Any]:
        """Return a parameter as the template's data."""
        tree = build_tree(parameter.schema, name=parameter.name)
        return {
            "name": parameter.name,
            "location": parameter.location,
            "required": parameter.required,
            "deprecated": parameter.deprecated,
            "description": parameter.description,
            "anchor": f"{operation.id}.{parameter.location}.{parameter.name}",
            "field": tree,
        }

    def _answers(self, operation: Operation) -> Iterator[nodes.Node]:
        own = [r for r in operation.responses.values() if r.status < "400" or not r.common]
        shared = [r for r in operation.responses.values() if r not in own]
        answers = [self._answer(operation, r) for r in own]
        if answers:
            yield self._heading("Responses")
            yield self._bulk("responses", {"answers": answers}, " ".join(a["description"] for a in answers))
        codes = [_error(self._lookups, code, self._service) for code in operation.errors]
        standard = [_standard(self._contract, r) for r in shared]
        if codes or standard:
            yield self._heading("Errors")
            data = {"operation": operation.id, "own": [c for c in codes if c], "standard": standard}
            yield self._bulk("errors", data, " ".join(f"{c['code']} {c['title']}" for c in codes if c))
        yield self._heading("Behaviour")
        yield self._bulk("facts", facts(operation, self._contract), " ".join((*operation.events, *operation.requirements)))

    def _answer(self, operation: Operation, response: Response) -> dict[str, Any]:
        return {
            "status": response.status,
            "words": status_words(response.status) if response.status.isdigit() else response.status,
            "anchor": f"{operation.id}.{response.status}",
            "description": response.description,
            "headers": [(n, _header(h), str(h.get("description", ""))) for n, h in response.headers.items()],
            "media": [(m, self._answer_schema(s)) for m, s in response.media.items()],
            "links": [(k, v.get("operationId", ""), v.get("description", "")) for k, v in response.links.items()],
        }

    def _answer_schema(self, schema: Node) -> dict[str, Any]:
        """Return a response's schema: by link where it has a section, else as a tree."""
        name = schema_name(schema)
        if name in self._linked:
            return {"name": name, "tree": None}
        return {"name": name, "tree": build_tree(schema, linked=self._linked)}


def _header(node: Node) -> str:
    return words.type_words(node.child("schema").resolved().value) if "schema" in node else "string"


def _grouped(parameters: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    titles = (("path", "Path"), ("query", "Query"), ("header", "Headers"), ("cookie", "Cookies"))
    return [(t, found) for key, t in titles if (found := [p for p in parameters if p["location"] == key])]


def _error(lookups: Lookups, code: str, service: Service) -> dict[str, Any] | None:
    found = lookups.contract.errors.get(code)
    if found is None:
        return None
    shown = next(iter(lookups.raising(code, service.slug)), None)
    return {
        "code": code,
        "status": found.status,
        "title": found.title,
        "cause": found.cause,
        "fix": found.fix,
        "retryable": found.retryable,
        "exchange": (shown.operation, anchor_of(shown), shown.summary) if shown else None,
    }


def _standard(contract: Contract, response: Response) -> dict[str, Any]:
    codes = [e.code for e in contract.standard_errors.values() if str(e.status) == response.status and not e.field]
    return {"status": response.status, "words": status_words(response.status), "codes": codes, "description": response.description}


def head(operation: Operation, lookups: Lookups) -> dict[str, Any]:
    """Return method, path and badges of an operation.

    A badge is (kind, text, what it means, kind of object that it links to, name of that).
    """
    badges: list[tuple[str, str, str, str, str]] = []
    for scope in operation.scopes:
        badges.append(("scope", scope, "The token needs this scope", "scope", scope))
    if operation.public:
        badges.append(("public", "no token", "Anybody may call", "", ""))
    policy = lookups.contract.policies.get(operation.policy)
    if policy is not None:
        rate = f"{operation.policy} \N{MIDDLE DOT} {policy.requests} a {_window(policy.window_seconds)}"
        badges.append(("policy", rate, f"Policy class {operation.policy}: {policy.description}", "", ""))
    if any(p.name == "Idempotency-Key" for p in operation.parameters):
        badges.append(("idempotent", "idempotency key", "Safe to repeat with the same Idempotency-Key", "", ""))
    elif operation.method in (*_SAFE, "PUT", "DELETE") or operation.behaviour in ("search", "count", "batch_read"):
        badges.append(("idempotent", "safe to repeat", "A repeated call changes nothing more", "", ""))
    if _pages(operation):
        badges.append(("pages", "pages", "Answers in pages, by cursor", "", ""))
    if "202" in operation.responses:
        badges.append(("async", "asynchronous", "Starts a job that you poll", "", ""))
    if "x-since" in operation.node:
        badges.append(("since", f"since {operation.node.get('x-since')}", "First version that has it", "", ""))
    if operation.profile:
        badges.append(("profile", operation.profile, "Follows this protocol's RFC in place of the house style", "", ""))
    if operation.deprecated:
        badges.append(("deprecated", "deprecated", "Will stop answering; see below", "", ""))
    exchanges = lookups.exchanges_of(operation.id)
    if exchanges:
        scripted = any(e.scripted is not None for e in exchanges)
        text = "Its examples are computed by the emulator from state" if not scripted else "Its examples are written by hand"
        badges.append(("scripted" if scripted else "live", "scripted" if scripted else "live", text, "", ""))
    return {
        "id": operation.id,
        "method": operation.method,
        "path": operation.path,
        "badges": badges,
        "exchanges": [e.id for e in exchanges if e.recorded],
    }


def _window(seconds: int) -> str:
    return {1: "second", 60: "minute", 3600: "hour", 86400: "day"}.get(seconds, f"{seconds} s")


def _pages(operation: Operation) -> bool:
    if operation.parameter("cursor", "query") is not None:
        return True
    bodies = operation.body.media.values() if operation.body else ()
    return any("cursor" in schema.resolved().get("properties", {}) for schema in bodies)


def facts(operation: Operation, contract: Contract) -> dict[str, Any]:
    """Return what holds of an operation beside its messages: safety, limits, latency, events, requirements."""
    policy = contract.policies.get(operation.policy)
    service = contract.services[operation.service]
    conditional = []
    names = {p.name for p in operation.parameters}
    if "If-Match" in names:
        needed = "428" in operation.responses
        conditional.append("`If-Match` is demanded" if needed else "`If-Match` is honoured")
    if "If-None-Match" in names:
        conditional.append("`If-None-Match` answers 304")
    return {
        "conditional": conditional,
        "consistency": operation.consistency,
        "policy": _policy(policy) if policy else None,
        "events": list(operation.events),
        "requirements": list(operation.requirements),
        "asks": [(c.operation, c.service, c.why, c.mode) for c in service.manifest.calls if operation.id in c.used_by],
    }


def _policy(policy: Policy) -> dict[str, Any]:
    """Return what is printed of a policy class; the class itself would pickle the document that it stands in."""
    return {
        "requests": policy.requests,
        "window": _window(policy.window_seconds),
        "latency": dict(policy.latency),
        "payload_limit_bytes": policy.payload_limit_bytes,
        "timeout_seconds": policy.timeout_seconds,
        "caching": policy.caching,
    }


def response_schemas(service: Service) -> tuple[str, ...]:
    """Return the names of a service's own object schemas that its answers hold, in the order of its document.

    These get a section of their own on the chapter's schema page.
    """
    wanted: set[str] = set()

    def visit(field: Field) -> None:
        for below in field.walk():
            if below.schema in service.schemas and below.has_more:
                wanted.add(below.schema)

    for operation in service.operations:
        for response in operation.successes:
            for schema in response.media.values():
                visit(build_tree(schema))
    return tuple(name for name in service.schemas if name in wanted)
