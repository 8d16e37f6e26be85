"""Directives about what can go wrong: business rules and error codes of a service, each with the exchange that shows it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.contract import Contract, ErrorCode, Exchange, Resource, Rule, Service
from crm_reference.sphinx import words
from crm_reference.sphinx.directives import ServiceDirective, add_directives
from crm_reference.sphinx.lookups import Lookups
from crm_reference.sphinx.tables import (
    Cell,
    Entry,
    code,
    entries,
    exchange,
    joined,
    md,
    plain,
    ref,
    row,
    status,
    table,
)

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_KINDS = {
    "unique": "unique value",
    "reference": "reference to another record",
    "immutable": "never changes",
    "transition": "state machine",
    "compare": "comparison of two fields",
    "required-if": "conditionally required",
    "custom": "computed rule",
}
_ON_DELETE = {
    "restrict": "the target can't be deleted while this record names it",
    "clear": "the field is cleared when the target is deleted",
    "cascade": "this record is deleted with the target",
    "keep": "the field keeps the ID of a deleted target",
}
_OPERATORS = {
    "lt": "<",
    "lte": "\N{LESS-THAN OR EQUAL TO}",
    "gt": ">",
    "gte": "\N{GREATER-THAN OR EQUAL TO}",
    "eq": "=",
    "ne": "\N{NOT EQUAL TO}",
}


def breaking(lookups: Lookups, service: Service, code_name: str, rule: Rule | None = None) -> Exchange | None:
    """Return an exchange whose answer carries a code: one that names the rule's fields if there is any.

    Where several rules have the code, only an exchange that names the rule's fields or its ID will do.
    """
    found = lookups.raising(code_name, service.slug)
    shared = sum(r.error == code_name for x in service.resources.values() for r in x.rules) > 1
    if rule is not None:
        fields = set(_fields(rule))
        for candidate in found:
            body = candidate.request.body
            text = json.dumps(body) + json.dumps(candidate.expect)
            if rule.id in candidate.name or any(field in text for field in fields):
                return candidate
        if shared:
            return None
    return found[0] if found else None


def _fields(rule: Rule) -> Iterator[str]:
    options = rule.options
    yield from options.get("fields", ())
    yield from (options[k] for k in ("field", "left", "right") if isinstance(options.get(k), str))
    yield from options.get("any_of", ())


class Rules(ServiceDirective):
    """``{crm:rules} contacts``: business rules of each resource, as they are enforced, with the exchange that breaks each."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a list of entries for each resource that has rules."""
        found: list[nodes.Node] = []
        ruled = [r for r in service.resources.values() if r.rules]
        for resource in ruled:
            if len(ruled) > 1:
                found.append(nodes.rubric("", f"Rules of {resource.schema}", classes=["op-heading"]))
            found.append(
                entries(f"Rules of {resource.schema}", [self._entry(service, resource, r) for r in resource.rules], self.docname)
            )
            found += [self._states(resource, r) for r in resource.rules if r.kind == "transition"]
        return found or [self.paragraph("Its resources have no rules beside their schemas.")]

    def _entry(self, service: Service, resource: Resource, rule: Rule) -> Entry:
        shown = breaking(self.state_of_build.lookups, service, rule.error, rule)
        return Entry(
            anchor=f"rule-{rule.id}",
            head=code(rule.id),
            side=plain(_KINDS.get(rule.kind, rule.kind)),
            body=(rule.text,),
            facts=(
                ("Applies to", joined(code(f) for f in dict.fromkeys(_fields(rule)))),
                ("In detail", md(_detail(rule))),
                ("Breach", joined([_status(self.contract, rule.error), ref("error", rule.error)], " ")),
                ("See it broken", exchange(shown.operation, shown.name, shown.summary) if shown else ()),
                ("Resource", ref("schema", resource.schema)),
            ),
        )

    def _states(self, resource: Resource, rule: Rule) -> nodes.Node:
        field, initial = rule.options["field"], rule.options.get("initial", ())
        steps = rule.options["transitions"]
        rows = [
            row(
                code(state),
                plain("yes") if not initial or state in initial else (),
                joined(code(n) for n in following) or plain("nothing: it is final"),
            )
            for state, following in steps.items()
        ]
        heads = (f"State of {field}", "A record can begin in it", "Leads to")
        return table(f"States of {resource.schema}.{field}", heads, rows, self.docname, widths=(26, 26, 48))


def _detail(rule: Rule) -> str:
    options = rule.options
    if rule.kind == "unique":
        scope = " and ".join(["tenant", *map(words.code, options.get("scope", ()))])
        case = "with" if options.get("case_sensitive") else "without"
        return f"Unique within the {scope}, {case} regard to case"
    if rule.kind == "reference":
        return f"Names a record of {words.code(options['target'])}; {_ON_DELETE.get(options['on_delete'], options['on_delete'])}"
    if rule.kind == "compare":
        return f"{words.code(options['left'])} {_OPERATORS[options['operator']]} {words.code(options['right'])}"
    if rule.kind == "required-if":
        when = " and ".join(f"{words.code(k)} is {words.code(v)}" for k, v in options.get("when", {}).items())
        wanted = options.get("any_of") or [options.get("field", "")]
        return f"Needs {' or '.join(map(words.code, wanted))} {f'when {when}' if when else 'always'}"
    if rule.kind == "custom":
        return f"Computed by {words.code(options['function'])}; its vectors stand in the build page"
    return ""


def _status(contract: Contract, name: str) -> Cell:
    found = contract.errors.get(name)
    return status(found.status) if found else ()


def error_entry(lookups: Lookups, error: ErrorCode, anchor: str, service: Service | None) -> Entry:
    """Return an error code as an entry, with the operations that answer it and an exchange that does."""
    answering = lookups.answering(error.code)
    shown = next(iter(lookups.raising(error.code, service.slug if service is not None else "")), None)
    many = len(answering) > 8
    operations = joined(ref("operation", o.id) for o in answering[:8])
    return Entry(
        anchor=anchor,
        head=code(error.code),
        side=joined([status(error.status), plain(error.title)], " "),
        body=(error.cause,),
        facts=(
            ("What to do", md(error.fix)),
            ("Retry", plain("yes, the same request can succeed later" if error.retryable else "no, change the request first")),
            ("Stands in", plain("entries of `errors`, never at the top".replace("`", "")) if error.field else ()),
            ("Answered by", joined([operations, plain(f"{len(answering) - 8} more")], " and ") if many else operations),
            ("See it happen", exchange(shown.operation, shown.name, shown.summary) if shown else ()),
            ("Service", ref("service", error.service, service.title) if service is not None else ()),
        ),
    )


class Errors(ServiceDirective):
    """``{crm:errors} contacts``: the service's own codes, with cause, fix, retry and an exchange."""

    def render(self, service: Service) -> Sequence[nodes.Node]:
        """Return a list of entries, anchored ``error-<code>``."""
        found = []
        for error in service.manifest.errors.values():
            anchor = f"error-{error.code}"
            self.crm.note("error", error.code, self.docname, anchor, error.title, rank=1, location=self.get_location())
            found.append(error_entry(self.state_of_build.lookups, error, anchor, service))
        if not found:
            return [self.paragraph("The service has no codes beside the platform's standard ones.")]
        return [entries(f"Error codes of {service.title}", found, self.docname)]


def setup_rules(app: Sphinx) -> None:
    """Add the directives."""
    add_directives(app, {"rules": Rules, "errors": Errors})
