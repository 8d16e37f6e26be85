"""Lint: whether the contract keeps the house style, as far as a program can tell.

:func:`lint` promises that every finding has file and line, a stable rule id, and a message that says what is wrong and what to do.
It doesn't judge prose beyond words and lengths, and it runs nothing: whether the emulator behaves as written is for exchanges and
laws to prove. References to services whose folders don't exist yet are no findings; :func:`open_references` lists them.
"""

from __future__ import annotations

from crm_reference.contract.findings import Finding
from crm_reference.contract.lint import (
    coverage,
    documents,
    events,
    exchanges,
    manifests,
    names,
    operations,
    prose,
    resources,
    responses,
    schemas,
    vocabulary,
)
from crm_reference.contract.lint.form import FORM_ERRORS, malformed
from crm_reference.contract.lint.open import open_references
from crm_reference.contract.lint.registry import RULES, LintRule
from crm_reference.contract.lint.survey import Survey
from crm_reference.contract.model import Contract

#: The modules that hold rules, in the order in which readers mend things: form first, meaning after.
SUBJECTS = (
    documents,
    vocabulary,
    operations,
    names,
    schemas,
    responses,
    resources,
    events,
    manifests,
    exchanges,
    coverage,
    prose,
)

__all__ = ["RULES", "SUBJECTS", "LintRule", "lint", "open_references"]


def lint(contract: Contract, /, *, service: str = "") -> list[Finding]:
    """Check every rule.

    :param service: Slug; keeps only the findings in that service's documents and examples. Empty keeps all.
    :return: The findings, sorted by file, line and rule; empty where the contract keeps the style.
    """
    found = _found(contract)
    if service:
        parts: tuple[str, ...] = (f"source_specs/{service}/", f"examples/{service}.yaml", f"examples/{service}/")
        parts += (f"examples/world/{service}.yaml", f"examples/vectors/{service}/", f"examples/recorded/{service}.json")
        found = {f for f in found if f.place.document.name.startswith(parts)}
    return sorted(found, key=lambda f: (f.place.document.name, f.place.line, f.rule, f.message))


def _found(contract: Contract) -> set[Finding]:
    survey = Survey(contract)
    try:
        # other rules follow references
        return set(RULES["ref.dangling"].findings(survey)) or {f for rule in RULES.values() for f in rule.findings(survey)}
    except FORM_ERRORS:
        found = set(malformed(contract.library.root))
        if not found:
            raise
        return found
