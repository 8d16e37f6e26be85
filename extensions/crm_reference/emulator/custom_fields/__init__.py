"""Custom fields of every extensible resource: definitions, values, formulas and roll-ups, and validation rules.

Services read and write none of this directly: :class:`~crm_reference.emulator.records.Records` asks it on each write and answer.
"""

from crm_reference.emulator.custom_fields.beginning import with_defaults, with_numbers
from crm_reference.emulator.custom_fields.formulas import closed, follows_hidden, presented
from crm_reference.emulator.custom_fields.scope import extension
from crm_reference.emulator.custom_fields.validation import enforce
from crm_reference.emulator.custom_fields.values import COLLECTION, COMPUTED, OPERATORS, check, definitions, query_fields

__all__ = [
    "COLLECTION",
    "COMPUTED",
    "OPERATORS",
    "check",
    "closed",
    "definitions",
    "enforce",
    "extension",
    "follows_hidden",
    "presented",
    "query_fields",
    "with_defaults",
    "with_numbers",
]
