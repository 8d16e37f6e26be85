"""Requirement 9.5: version numbers tell what changed, and what clients use stays."""

from __future__ import annotations

from crm_reference.trace.baseline import Change, bump, differences
from crm_reference.trace.universal import Context, Findings, Verdict, rule

#: Headers by which a deprecated operation says so (RFC 9745, RFC 8594).
_NOTICE = ("Deprecation", "Sunset")


@rule("versioning")
def versioning(context: Context, /) -> Verdict:
    """Decide whether a service's version has grown by the class of its difference from the baseline. A subject is a service."""
    found, subjects = Findings("versioning"), []
    for service in context.contract.services.values():
        baseline = context.baselines.get(service.slug)
        if baseline is None:
            continue
        subjects.append(service.slug)
        changes = sorted(differences(baseline, context.offered[service.slug]), key=lambda d: -d.change)
        needed = changes[0].change if changes else Change.none
        grown = bump(baseline["version"], service.version)
        # A fix of texts or examples is a patch, and isn't seen in the snapshots.
        if grown is not needed and not (needed is Change.none and grown is Change.patch):
            why = changes[0].text if changes else "nothing that a client sees is different"
            message = f"{service.slug} went from {baseline['version']} to {service.version}, and needs a {needed.name} step: {why}"
            found.add(service.openapi.root.place, message)
    return Verdict(tuple(subjects), tuple(found))


@rule("compatibility")
def compatibility(context: Context, /) -> Verdict:
    """Decide whether what the baseline offers is still there, and what will go says when. A subject is ``service operationId``."""
    found, subjects = Findings("compatibility"), []
    for slug, baseline in context.baselines.items():
        service = context.contract.services.get(slug)
        if service is None:
            continue
        today = {o.id: o for o in service.operations}
        for name, before in baseline["operations"].items():
            subjects.append(f"{slug} {name}")
            if name not in today and not before["deprecated"]:
                found.add(service.openapi.root.place, f"{name} is gone, and the baseline didn't announce it as deprecated")
        for difference in differences(baseline, context.offered[slug]):
            if difference.change is Change.major and difference.subject in today:
                found.add(today[difference.subject].place, f"a client of {baseline['version']} breaks: {difference.text}")
    for operation in context.contract.operations.values():
        missing = [h for h in _NOTICE if operation.deprecated and not any(h in r.headers for r in operation.successes)]
        if missing:
            found.add(operation.place, f"{operation.id} is deprecated, and its answers have no {' and no '.join(missing)}")
    return Verdict(tuple(subjects), tuple(found))
