"""The trace: is every requirement covered, and by what.

:func:`gate` decides every facet of the catalogue from the contract, the pages, and the results of examples and laws. It is pure but
for reading those files, and has three callers: the Sphinx extension, ``crm-reference check`` and the tests. It promises that no
label counts as evidence: a capability is proved by an exchange that passed and reached the operation live, and a universal rule by
subjects without a violation.
"""

from crm_reference.trace.coverage import CapabilityReport, FacetReport, Report, assess
from crm_reference.trace.evidence import (
    Hit,
    LawEntry,
    Result,
    Section,
    evidence_key,
    read_laws,
    read_results,
    write_laws,
)
from crm_reference.trace.gaps import Gap, State, Subtype
from crm_reference.trace.report import exit_code, gate, needs, summary
from crm_reference.trace.universal import Context, Verdict, decide

__all__ = [
    "CapabilityReport",
    "Context",
    "FacetReport",
    "Gap",
    "Hit",
    "LawEntry",
    "Report",
    "Result",
    "Section",
    "State",
    "Subtype",
    "Verdict",
    "assess",
    "decide",
    "evidence_key",
    "exit_code",
    "gate",
    "needs",
    "read_laws",
    "read_results",
    "summary",
    "write_laws",
]
