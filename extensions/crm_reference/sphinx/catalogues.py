"""Catalogues over all services: operations, error codes, events, scopes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from docutils import nodes

from crm_reference.contract import Attack, ErrorCode
from crm_reference.sphinx.chapters import ROLES
from crm_reference.sphinx.directives import CatalogueDirective, add_directives
from crm_reference.sphinx.rules import error_entry
from crm_reference.sphinx.tables import Row, code, entries, group, joined, md, method, plain, ref, row, status, table
from crm_reference.sphinx.words import bytes_words

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class AllOperations(CatalogueDirective):
    """``{crm:all-operations}``: every operation, by service."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        rows: list[Row] = []
        for service in self.contract.services.values():
            rows.append(group(ref("service", service.slug, service.title)))
            rows += [
                row(method(o.method), ref("operation", o.id), code(o.path), plain(o.summary), joined(code(s) for s in o.scopes))
                for o in service.operations
            ]
        heads = ("Method", "Operation", "Path", "What it does", "Scope")
        return [table("Operations of all services", heads, rows, self.docname, widths=(8, 22, 28, 26, 16))]


class AllErrors(CatalogueDirective):
    """``{crm:all-errors}``: every code that a problem can carry. The anchor is the code: a problem's ``type`` leads here."""

    def render(self) -> Sequence[nodes.Node]:
        """Return a section for the standard codes, one for those of entries, and one for each service."""
        standard = self.contract.standard_errors.values()
        found = [
            self._section("platform", "Of the platform", [e for e in standard if not e.field]),
            self._section("fields", "In entries of errors", [e for e in standard if e.field]),
        ]
        for service in self.contract.services.values():
            if service.manifest.errors:
                found.append(self._section(service.slug, f"Of {service.title}", list(service.manifest.errors.values())))
        return found

    def _section(self, key: str, title: str, errors: Sequence[ErrorCode]) -> nodes.section:
        section = nodes.section(ids=[f"codes-{key}"], names=[])
        self.state.document.note_explicit_target(section, section)
        section += nodes.title("", title)
        listed = []
        for error in sorted(errors, key=lambda e: (e.status, e.code)):
            self.crm.note("error", error.code, self.docname, error.code, error.title, location=str(error.place))
            listed.append(error_entry(self.state_of_build.lookups, error, error.code, self.contract.services.get(error.service)))
        section += entries(title, listed, self.docname)
        return section


class HostileRequests(CatalogueDirective):
    """``{crm:hostile}``: what clients with bad intentions send, and how it is answered, a section a kind."""

    def render(self) -> Sequence[nodes.Node]:
        """Return a section for each group."""
        found = []
        for document in self.contract.library.glob("examples/hostile/*.yaml"):
            self.env.note_dependency(str(document.path))
        for kind in self.contract.hostile:
            section = nodes.section(ids=[f"hostile-{kind.name}"], names=[])
            self.state.document.note_explicit_target(section, section)
            section += nodes.title("", kind.title)
            section += nodes.paragraph("", kind.text)
            rows = [self._row(attack) for attack in kind.attacks]
            section += table(kind.title, ("The client", "Answer"), rows, self.docname, widths=(64, 36), narrow=True)
            found.append(section)
        return found

    def _row(self, attack: Attack) -> Row:
        statuses = joined((status(number) for number in attack.statuses), " or ")
        answer = joined(filter(None, (statuses, ref("error", attack.code) if attack.code else ())), " ")
        act = joined((md(attack.does), ref("operation", attack.exchange.operation)), ": ")
        return row(act, answer, anchor=f"hostile-{attack.id}")


class AllEvents(CatalogueDirective):
    """``{crm:all-events}``: every event, who emits it and who hears it."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        services = self.contract.services
        rows = []
        for event in self.contract.events.values():
            hearing = [s for s in services.values() if any(h.event == event.type for h in s.manifest.hears)]
            rows.append(
                row(
                    ref("event", event.type),
                    md(event.summary),
                    ref("service", event.service, services[event.service].title),
                    joined(ref("service", s.slug, s.title) for s in hearing),
                )
            )
        heads = ("Event", "What happened", "From", "Heard by")
        return [table("Events of all services", heads, rows, self.docname, widths=(34, 34, 14, 18))]


class AllScopes(CatalogueDirective):
    """``{crm:all-scopes}``: every scope, what it allows, and the default roles that hold it."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table, anchored by scope."""
        rows: list[Row] = []
        for service in self.contract.services.values():
            rows.append(group(ref("service", service.slug, service.title)))
            for scope in service.manifest.scopes.values():
                anchor = scope.name
                self.crm.note("scope", scope.name, self.docname, anchor, scope.name, location=str(scope.place))
                used = sum(scope.name in o.scopes for o in service.operations)
                holders = ", ".join(name for key, name in ROLES if key in scope.roles)
                rows.append(row(code(scope.name), md(scope.description), plain(used), plain(holders), anchor=anchor))
        heads = ("Scope", "Allows", "Operations", "Default roles")
        return [table("Scopes of all services", heads, rows, self.docname, widths=(22, 32, 12, 34))]


class AllServices(CatalogueDirective):
    """``{crm:all-services}``: every service with its purpose and size."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        rows = [
            row(
                ref("service", s.slug, s.title),
                md(s.manifest.summary.partition(". ")[0].rstrip(".") + "."),
                plain(len(s.operations)),
                plain(len(s.events)),
            )
            for s in self.contract.services.values()
        ]
        heads = ("Service", "What it is for", "Operations", "Events")
        return [table("All services", heads, rows, self.docname, widths=(18, 58, 12, 12))]


class AllPolicies(CatalogueDirective):
    """``{crm:all-policies}``: the classes of rate, latency and size limits."""

    def render(self) -> Sequence[nodes.Node]:
        """Return one table."""
        rows = []
        for policy in self.contract.policies.values():
            count = sum(o.policy == policy.name for o in self.contract.operations.values())
            latency = " / ".join(str(v) for v in policy.latency.values())
            rows.append(
                row(
                    code(policy.name),
                    md(policy.description),
                    plain(f"{policy.requests} / {policy.window_seconds} s"),
                    plain(f"{latency} ms"),
                    plain(bytes_words(policy.payload_limit_bytes)),
                    plain(f"{policy.timeout_seconds} s"),
                    plain(count),
                    anchor=f"policy-{policy.name}",
                )
            )
        heads = ("Class", "For", "Rate", "p50 / p95 / p99", "Body", "Timeout", "Operations")
        return [table("Policy classes", heads, rows, self.docname, widths=(10, 34, 12, 16, 10, 9, 9))]


def setup_catalogues(app: Sphinx) -> None:
    """Add the directives."""
    add_directives(
        app,
        {
            "all-operations": AllOperations,
            "all-errors": AllErrors,
            "all-events": AllEvents,
            "all-scopes": AllScopes,
            "all-services": AllServices,
            "all-policies": AllPolicies,
            "hostile": HostileRequests,
        },
    )
