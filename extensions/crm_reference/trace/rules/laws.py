"""The laws that universal rules rest on: what each must do, and what it must be done to.

A law is run by :mod:`crm_reference.conformance.laws` under the name that stands here, on exactly the subjects that
:meth:`Law.subjects_of` gives; a subject without a passing entry is a violation. Nothing here runs an emulator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from crm_reference.contract import Contract
from crm_reference.trace import subjects as about
from crm_reference.trace.rules.law_texts import TEXTS


@dataclass(frozen=True, slots=True)
class Law:
    """A law: a statement that holds of each of its subjects, found by running the API.

    :param name: Stable name, as entries of a law report carry it.
    :param facet: The facet of ``requirements.yaml`` that it helps to decide.
    :param text: What is done to one subject, and what must come of it.
    :param subjects: Gives the subjects; ``None`` where the law finds them itself and only its floor binds it.
    :param floor: Least number of subjects; 0 where a whole contract can lack the thing.
    """

    name: str
    facet: str
    text: str
    subjects: Callable[[Contract], Sequence[str]] | None
    floor: int = 1

    def subjects_of(self, contract: Contract, /) -> tuple[str, ...]:
        """Return the subjects on which it must be run, without repetition; none where it finds them itself."""
        return tuple(dict.fromkeys(self.subjects(contract))) if self.subjects else ()


_Row = tuple[str, str, Callable[[Contract], Sequence[str]] | None, int]

_ROWS: tuple[_Row, ...] = (
    ("minimal-body", "REQ-7.1-request-minimal", about.json_bodies, 1),
    ("required-absent", "REQ-7.1-request-minimal", about.sent_required, 1),
    ("failure-changes-nothing", "REQ-7.2-error-examples", about.failing_exchanges, 1),
    ("declared-status", "REQ-7.3-status-codes", about.operations, 1),
    ("injected-fault", "REQ-7.3-status-codes", about.operations, 1),
    ("retry", "REQ-7.3-error-handling", about.failing_exchanges, 1),
    ("no-token", "REQ-7.4-authentication", about.guarded, 1),
    ("expired-token", "REQ-7.4-authentication", about.guarded, 1),
    ("other-scopes", "REQ-7.4-authentication", about.guarded, 1),
    ("public-without-token", "REQ-7.4-authentication", about.public, 1),
    ("hostile-id", "REQ-7.4-security-considerations", about.with_record_id, 1),
    ("hostile-read-only", "REQ-7.4-security-considerations", about.writable_with_read_only, 1),
    ("hostile-url", "REQ-7.4-security-considerations", about.url_fields, 0),
    ("hostile-file", "REQ-7.4-security-considerations", about.uploads, 0),
    ("rate-limit", "REQ-7.5-rate-limits", about.operations, 1),
    ("pages-walk", "REQ-7.5-pagination", about.paged, 1),
    ("pages-while-writing", "REQ-7.5-pagination", about.paged, 1),
    ("payload-limit", "REQ-7.5-performance", about.sized, 1),
    ("timeout", "REQ-7.5-performance", about.timed, 1),
    ("own-writes", "REQ-8.1-boundaries", about.services, 1),
    ("call-seen", "REQ-8.2-communication", about.calls, 0),
    ("dependency-down", "REQ-8.2-dependencies", about.dependencies, 1),
    ("deployment-files", "REQ-8.3-deployment", about.services, 1),
    ("hearing-matters", "REQ-8.4-events", about.hearings, 0),
    ("duplicate-delivery", "REQ-8.4-message-schemas", about.hearings, 0),
    ("reordered-delivery", "REQ-8.4-message-schemas", about.hearings, 0),
    ("readiness-turns", "REQ-8.5-health", about.dependencies, 1),
    ("liveness-stays", "REQ-8.5-health", about.dependencies, 1),
    ("metrics-parse", "REQ-8.5-monitoring", about.services, 1),
    ("metric-moves", "REQ-8.5-monitoring", about.metrics, 1),
    ("wrong-type", "REQ-9.1-required-and-types", about.sent_fields, 1),
    ("null-value", "REQ-9.1-required-and-types", about.sent_fields, 1),
    ("inside-bounds", "REQ-9.1-constraints", about.bounded_fields, 1),
    ("outside-bounds", "REQ-9.1-constraints", about.bounded_fields, 1),
    ("rule-removed", "REQ-9.2-business-rules", about.rules, 1),
    ("dangling-reference", "REQ-9.2-cross-entity", about.references, 0),
    ("on-delete", "REQ-9.2-cross-entity", about.references, 0),
    ("custom-field-values", "REQ-9.3-custom-fields", about.extensible, 1),
    ("custom-field-changed", "REQ-9.3-custom-fields", about.extensible, 1),
    ("custom-field-query", "REQ-9.3-extensible-entities", about.extensible, 1),
    ("custom-field-transfer", "REQ-9.3-extensible-entities", about.extensible, 1),
    ("tenant-path", "REQ-9.4-tenant-isolation", about.guarded_with_record_id, 1),
    ("tenant-body", "REQ-9.4-tenant-isolation", None, 1),
    ("tenant-query", "REQ-9.4-tenant-isolation", None, 1),
    ("tenant-cursor", "REQ-9.4-tenant-isolation", about.paged, 1),
    ("secret-hidden", "REQ-9.4-security-validation", lambda c: about.sensitive(c, "secret"), 0),
    ("pii-masked", "REQ-9.4-security-validation", lambda c: about.sensitive(c, "pii"), 0),
    ("baseline-exchange", "REQ-9.5-compatibility", None, 1),
    ("webhook-delivered", "REQ-10.1-webhook-endpoints", about.events, 1),
    ("webhook-retried", "REQ-10.1-event-notifications", None, 1),
    ("webhook-deduplicated", "REQ-10.1-event-notifications", None, 1),
    ("webhook-disabled", "REQ-10.1-event-notifications", None, 1),
    ("webhook-replayed", "REQ-10.1-event-notifications", None, 1),
    ("webhook-secrets-overlap", "REQ-10.1-event-notifications", None, 1),
    ("credential-lifecycle", "REQ-10.2-third-party-authentication", None, 3),
    ("mirror", "REQ-10.3-synchronization", about.changing, 1),
    ("conflict-strategy", "REQ-10.3-conflict-resolution", None, 3),
    ("app-lifecycle", "REQ-10.4-app-development", None, 1),
    ("app-new-scope", "REQ-10.4-app-development", None, 1),
    ("installation-scopes", "REQ-10.4-app-installation", None, 1),
    ("uninstallation", "REQ-10.4-app-installation", None, 1),
    ("connector-lifecycle", "REQ-10.5-connectors", None, 6),
    ("mapping-vector", "REQ-10.5-data-mapping", None, 5),
    ("mapping-unmapped-target", "REQ-10.5-data-mapping", None, 1),
)

#: Every law by name, in the order of the facets that they decide.
LAWS: Mapping[str, Law] = {name: Law(name, facet, TEXTS[name], subjects, floor) for name, facet, subjects, floor in _ROWS}


def laws_of(facet: str, /) -> tuple[Law, ...]:
    """Return the laws that help to decide a facet."""
    return tuple(law for law in LAWS.values() if law.facet == facet)
