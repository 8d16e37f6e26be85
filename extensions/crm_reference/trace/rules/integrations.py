"""Requirement 10: ways to integrate, each told by a narrative that ran. Its other rules rest on laws alone."""

from __future__ import annotations

from collections.abc import Mapping

from crm_reference.contract.documents import place_of
from crm_reference.trace.universal import Context, Findings, Verdict, rule

#: Pattern by the page that tells it, below ``guides/integrations/``.
PATTERNS: Mapping[str, str] = {
    "inbound-api": "Inbound API",
    "connector": "Connector",
    "embedded-app": "Embedded app",
    "event-bridge": "Event bridge",
    "change-data-capture": "Change data capture",
    "sso-and-scim": "Single sign-on and provisioning",
    "agent": "Agent",
}

#: Least number of services that a pattern's narrative reaches.
_SERVICES = 2


@rule("third_party_patterns")
def third_party_patterns(context: Context, /) -> Verdict:
    """Decide whether each pattern's narrative passed over two services and met a failure. A subject is a pattern that is told."""
    found, subjects = Findings("third_party_patterns"), []
    for slug, title in PATTERNS.items():
        page = f"guides/integrations/{slug}"
        results = [r for r in context.narratives if page in r.place]
        if not results:
            continue
        subjects.append(slug)
        hits = [h for r in results if r.passed for h in r.hits]
        operations = context.contract.operations
        reached = {operations[h.operation].service for h in hits if h.operation in operations}
        if len(reached) < _SERVICES:
            message = f"{title}: the narrative reaches {len(reached)} services and should reach {_SERVICES}"
            found.add(place_of(f"docs/{page}.md"), message)
        if not any(h.status >= 400 for h in hits):
            found.add(place_of(f"docs/{page}.md"), f"{title}: the narrative meets no failure")
    return Verdict(tuple(subjects), tuple(found))
