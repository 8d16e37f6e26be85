"""Operations: parameters, security, conditional requests, paging, jobs, batches, links, errors, health."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import Survey
from crm_reference.contract.model import Operation, Response

#: Behaviours of a POST that change nothing.
_READING_POSTS = frozenset({"search", "count", "batch_read"})
_READING_POLICIES = frozenset({"search", "read", "list", "auth", "health"})
MERGE_PATCH = "application/merge-patch+json"
_SECRETS = frozenset({"token", "access_token", "api_key", "key", "secret", "password", "signature"})

#: Path behind the slug to operationId around the service's name, policy is always ``health``.
_HEALTH = {
    "/health/live": ("Liveness", "REQ-8.5-health"),
    "/health/ready": ("Readiness", "REQ-8.5-health"),
    "/health": ("Health", "REQ-8.5-health"),
    "/metrics": ("Metrics", "REQ-8.5-monitoring"),
}


def body_schema(response: Response) -> Node | None:
    """Return the resolved schema of a response's JSON body, or ``None`` where it has none."""
    node = response.media.get("application/json")
    return node.resolved() if node is not None else None


@rule("operation.path-parameters")
def check_path_parameters(survey: Survey) -> Iterator[Problem]:
    """Each parameter in a path is declared on the path item, required, and no other is."""
    for operation in survey.operations:
        wanted = set(re.findall(r"\{([^}]+)\}", operation.path))
        declared = {p.name: p for p in operation.parameters if p.location == "path"}
        for name in sorted(wanted ^ set(declared)):
            said = "has no declaration" if name in wanted else "is not in the path"
            yield operation.place, f"{operation.id}: the path parameter {name} {said}; bring path and parameters in line"
        for name, parameter in declared.items():
            if not parameter.required:
                yield parameter.place, f"{operation.id}: the path parameter {name} isn't required; write required: true"
        for node in operation.node.entries("parameters"):
            if node.resolved().get("in") == "path":
                yield node.place, f"{operation.id} declares a path parameter; declare it on the path item"


@rule("operation.parameter-twice")
def check_parameters_twice(survey: Survey) -> Iterator[Problem]:
    """An operation has each parameter once, with a description."""
    for operation in survey.operations:
        seen: set[tuple[str, str]] = set()
        for parameter in operation.parameters:
            key = (parameter.name.lower() if parameter.location == "header" else parameter.name, parameter.location)
            if key in seen:
                yield parameter.place, f"{operation.id} has the {parameter.location} parameter {parameter.name} twice; remove one"
            seen.add(key)
            if len(parameter.description) < 10:
                yield parameter.place, f"the parameter {parameter.name} has no description; say what it does"


@rule("security.declared")
def check_security(survey: Survey) -> Iterator[Problem]:
    """An operation demands scopes, or says in x-public why it takes no token."""
    for operation in survey.operations:
        if "security" not in operation.node:
            yield operation.place, f"{operation.id} has no security; name its scope, or write [] and x-public"
        elif not operation.node.get("security"):
            if not operation.public:
                yield operation.place, f"{operation.id} is open and doesn't say why; add x-public"
        elif any({"client_basic", "registration_token"} & set(a) for a in operation.node.get("security", ())):
            if operation.profile != "oauth":
                yield (
                    operation.place,
                    f"{operation.id} takes client credentials, which only the OAuth profile may; demand a scope",
                )
            if not operation.public:
                yield operation.place, f"{operation.id} takes no token and doesn't say why; add x-public"
        elif not operation.scopes:
            yield operation.place, f"{operation.id} demands a token without a scope; name one"
        elif operation.public:
            yield operation.place, f"{operation.id} has x-public and a scope; remove one of them"


@rule("security.scope")
def check_scopes(survey: Survey) -> Iterator[Problem]:
    """An operation's scopes stand in its service's manifest, and each scope there is used."""
    for service in survey.services:
        known = set(service.manifest.scopes)
        used: set[str] = set()
        for operation in service.operations:
            used.update(operation.scopes)
            for scope in operation.scopes:
                if scope not in known:
                    yield operation.place, f"{operation.id} demands {scope}, which service.yaml doesn't have; add it there"
        masks = {str(s.node.get("x-masked")) for s in survey.own_sites if s.service == service.slug and "x-masked" in s.node}
        for scope in sorted(known - used - masks):
            yield service.manifest.scopes[scope].place, f"no operation demands {scope}; use or remove it"


@rule("security.note")
def check_security_note(survey: Survey) -> Iterator[Problem]:
    """Every operation says in x-security what an implementer must guard against there."""
    for operation in survey.operations:
        if not operation.security_note:
            yield operation.place, f"{operation.id} has no x-security; say what to guard against here"


@rule("operation.idempotency")
def check_idempotency(survey: Survey) -> Iterator[Problem]:
    """A POST that changes something takes an Idempotency-Key; one that only reads doesn't."""
    for operation in survey.operations:
        if operation.method != "POST" or operation.profile or operation.policy == "auth":
            continue
        reads = operation.behaviour in _READING_POSTS or operation.policy in _READING_POLICIES
        has = operation.parameter("Idempotency-Key", "header") is not None
        if has and reads:
            yield operation.place, f"{operation.id} changes nothing and takes an Idempotency-Key; remove it"
        elif not has and not reads:
            yield operation.place, f"{operation.id} changes something and takes no Idempotency-Key; add the common parameter"


@rule("operation.if-match")
def check_if_match(survey: Survey) -> Iterator[Problem]:
    """A change of one record honours If-Match, and demands it where the resource says so."""
    for operation in survey.operations:
        if operation.behaviour not in ("update", "replace") and not (
            operation.behaviour == "delete" and survey.contract.resources[operation.resource].require_if_match
        ):
            continue
        if operation.parameter("If-Match", "header") is None:
            yield operation.place, f"{operation.id} doesn't take If-Match; add the common parameter"
        elif survey.contract.resources[operation.resource].require_if_match and "428" not in operation.responses:
            yield operation.place, f"{operation.id} must demand If-Match; use IfMatchRequired and list 428"


@rule("operation.patch-media")
def check_patch(survey: Survey) -> Iterator[Problem]:
    """PATCH takes application/merge-patch+json and nothing else."""
    for operation in survey.operations:
        if operation.method == "PATCH" and operation.profile != "scim":
            media = list(operation.body.media) if operation.body else []
            if media != [MERGE_PATCH]:
                yield operation.place, f"{operation.id} takes {', '.join(media) or 'no body'}; let it take {MERGE_PATCH}"


@rule("operation.body")
def check_body(survey: Survey) -> Iterator[Problem]:
    """A request body says whether it is required and what it is; GET and DELETE have none."""
    for operation in survey.operations:
        if operation.body is None:
            continue
        if operation.method in ("GET", "DELETE", "HEAD"):
            yield operation.body.place, f"{operation.id} is a {operation.method} with a body, which servers drop; use POST"
        if "required" not in operation.node.child("requestBody").resolved() or not operation.body.description:
            yield operation.body.place, f"{operation.id}: the body lacks required or a description; add them"
        if not operation.body.media:
            yield operation.body.place, f"{operation.id}: the body has no schema; name one"


@rule("operation.paging")
def check_paging(survey: Survey) -> Iterator[Problem]:
    """A list takes limit and cursor, answers data, has_more and next_cursor, and a GET sends Link."""
    for operation in survey.operations:
        response = operation.responses.get("200")
        schema = body_schema(response) if response and not operation.profile else None
        if schema is None or response is None or schema.get("properties", {}).get("data", {}).get("type") != "array":
            continue
        have = set(schema.get("properties", {}))
        if not {"has_more", "next_cursor"} & have and not schema.name.endswith("Page"):
            continue
        for name in ("has_more", "next_cursor"):
            if name not in have:
                yield schema.place, f"{operation.id} answers with a page that has no {name}; add it"
        if operation.method == "GET":
            for name in ("limit", "cursor"):
                if operation.parameter(name, "query") is None:
                    yield operation.place, f"{operation.id} answers with a page and takes no {name}; add the common parameter"
            if "Link" not in response.headers and operation.behaviour != "changes":
                yield operation.place, f"{operation.id} answers with a page and has no Link header; add the common header"
        elif operation.body:
            known = {n for node in operation.body.media.values() for n in node.resolved().get("properties", {})}
            for name in ("limit", "cursor"):
                if name not in known:
                    yield operation.place, f"{operation.id} answers with a page and its body takes no {name}; add it"


@rule("operation.read")
def check_read(survey: Survey) -> Iterator[Problem]:
    """Reading one record sends ETag, takes If-None-Match and can answer 304."""
    for operation in survey.operations:
        if operation.behaviour not in ("read", "read_external"):
            continue
        ok = operation.responses.get("200")
        if ok and "ETag" not in ok.headers:
            yield operation.place, f"{operation.id} sends no ETag; add the common header to 200"
        if operation.parameter("If-None-Match", "header") is None or "304" not in operation.responses:
            yield operation.place, f"{operation.id} can't answer 304; add IfNoneMatch and NotModified"


@rule("operation.create")
def check_create(survey: Survey) -> Iterator[Problem]:
    """A create answers 201 with Location, ETag, the record, and links to what can be done with it."""
    for operation in survey.operations:
        if operation.behaviour != "create":
            continue
        created = operation.responses.get("201")
        if created is None and "202" in operation.responses:
            continue  # it starts a job that creates
        if created is None:
            yield operation.place, f"{operation.id} doesn't answer 201; add it"
            continue
        schema = body_schema(created)
        versioned = schema is not None and "version" in schema.get("properties", {})
        for header in ("Location", "ETag") if versioned else ("Location",):
            if header not in created.headers:
                yield operation.place, f"{operation.id}: 201 has no {header}; add the common header"
        if schema is None:
            yield operation.place, f"{operation.id}: 201 has no body; answer with the record"
        linked = {str(link.get("operationId", "")) for link in created.links.values() if isinstance(link, dict)}
        for other in _siblings(survey, operation):
            if other.id not in linked:
                yield operation.place, f"{operation.id}: 201 has no link to {other.id}; add it under links"


def _siblings(survey: Survey, create: Operation) -> Iterator[Operation]:
    for other in survey.contract.services[create.service].operations:
        if other.resource == create.resource and other.behaviour in ("read", "update", "delete"):
            yield other


@rule("operation.links")
def check_links(survey: Survey) -> Iterator[Problem]:
    """A link names an operation that exists, and parameters that it has."""
    for operation in survey.operations:
        for response in operation.responses.values():
            for name, link in response.links.items():
                target = survey.contract.operations.get(str(link.get("operationId", "")))
                if target is None:
                    yield response.place, f"{operation.id}: the link {name} names no operation; correct its operationId"
                    continue
                known = {p.name for p in target.parameters}
                for parameter in link.get("parameters", {}):
                    if parameter.rpartition(".")[2] not in known:
                        yield response.place, f"{operation.id}: the link {name} sets {parameter}, which {target.id} doesn't take"


@rule("operation.job")
def check_jobs(survey: Survey) -> Iterator[Problem]:
    """A 202 says where the job is and when to ask for it, and has a link to it."""
    for operation in survey.operations:
        accepted = operation.responses.get("202")
        if accepted is None or operation.profile:
            continue
        for header in ("Location", "Retry-After"):
            if header not in accepted.headers:
                yield accepted.place, f"{operation.id}: 202 has no {header}; add the common header"
        if not accepted.links:
            yield accepted.place, f"{operation.id}: 202 has no link to the operation that reads the job; add it"


@rule("operation.batch")
def check_batches(survey: Survey) -> Iterator[Problem]:
    """A batch takes up to 100 items and answers 207."""
    for operation in survey.operations:
        if not operation.behaviour.startswith("batch_"):
            continue
        if "207" not in operation.responses:
            yield operation.place, f"{operation.id} doesn't answer 207; add it"
        key = "ids" if operation.behaviour in ("batch_read", "batch_delete") else "items"
        for node in operation.body.media.values() if operation.body else ():
            items = node.resolved().get("properties", {}).get(key)
            if items is None:
                yield operation.place, f"{operation.id}: the body has no {key}; add it"
            elif items.get("maxItems") != 100:
                yield operation.place, f"{operation.id}: {key} holds up to {items.get('maxItems')}; make it 100"


@rule("errors.known")
def check_errors(survey: Survey) -> Iterator[Problem]:
    """An operation's error codes exist, and their statuses are among its responses."""
    codes = survey.contract.errors
    for operation in survey.operations:
        for code in operation.errors:
            error = codes.get(code)
            if error is None:
                yield operation.place, f"{operation.id} answers {code}, which service.yaml doesn't have; add it to errors"
            elif error.service not in ("", operation.service):
                yield operation.place, f"{operation.id} answers {code}, a code of {error.service}; declare one of its own"
            elif str(error.status) not in operation.responses:
                yield operation.place, f"{operation.id} answers {code} and doesn't list {error.status}; add the response"


@rule("errors.used")
def check_errors_used(survey: Survey) -> Iterator[Problem]:
    """Each code of a manifest is answered by an operation, and differs from the platform's and the neighbours'."""
    standard = survey.contract.standard_errors
    owners: dict[str, str] = {}
    for service in survey.services:
        used = {code for o in service.operations for code in o.errors}
        used |= {rule.error for r in service.resources.values() for rule in r.rules}
        for code, error in service.manifest.errors.items():
            if code in standard:
                yield error.place, f"{code} is a standard code of common/errors.yaml; remove it here or choose another name"
            if code in owners:
                yield error.place, f"{code} is a code of {owners[code]} as well; choose another name"
            owners.setdefault(code, service.slug)
            if code not in used:
                yield error.place, f"no operation answers {code}; name it in x-errors, or remove it"


@rule("operation.health")
def check_health(survey: Survey) -> Iterator[Problem]:
    """A service has its four health operations, named and tagged alike everywhere."""
    for service in survey.services:
        by_path = {o.path: o for o in service.operations if o.method == "GET"}
        noun = "".join(part.capitalize() for part in service.slug.split("-"))
        for rest, (word, facet) in _HEALTH.items():
            path = f"/{service.slug}{rest}"
            operation = by_path.get(path)
            if operation is None:
                yield service.openapi.root.place, f"{service.slug} has no GET {path}; add get{noun}{word}"
                continue
            wanted = (f"get{noun}{word}", "operate", "health", (facet,))
            if (operation.id, operation.tag, operation.policy, operation.requirements) != wanted:
                yield operation.place, f"GET {path} must be get{noun}{word} with tag operate, policy health and [{facet}]"


@rule("operation.deprecated")
def check_deprecated(survey: Survey) -> Iterator[Problem]:
    """A deprecated operation sends Deprecation and Sunset, and names what replaces it."""
    for operation in survey.operations:
        if operation.deprecated:
            for response in operation.successes:
                if not {"Deprecation", "Sunset"} <= set(response.headers):
                    yield response.place, f"{operation.id} is deprecated; add Deprecation and Sunset to {response.status}"


@rule("operation.consistency")
def check_consistency(survey: Survey) -> Iterator[Problem]:
    """Searches and change feeds say when a write shows in them."""
    for operation in survey.operations:
        if operation.behaviour in ("search", "changes") and "x-consistency" not in operation.node:
            yield operation.place, f"{operation.id} doesn't say when a write shows; add x-consistency: strong or eventual(5s)"


@rule("security.secret-in-url")
def check_secrets(survey: Survey) -> Iterator[Problem]:
    """No token, key or password is a query parameter, since URLs end up in logs."""
    for operation in survey.operations:
        for parameter in operation.parameters:
            if parameter.location == "query" and parameter.name in _SECRETS and not operation.profile:
                yield parameter.place, f"{operation.id} takes {parameter.name} in the URL; take it in a header or the body"
