"""Vectors, and that the pure computations know the fields that the contract has."""

from __future__ import annotations

from crm_reference.emulator.registry import COMPUTATIONS
from crm_reference.emulator.services.contacts.imports import SYNONYMS
from crm_reference.emulator.services.contacts.relationships import KINDS
from crm_reference.emulator.services.contacts.segments import SEARCHABLE
from crm_reference.emulator.services.contacts.survivorship import FIELDS
from crm_reference.exchanges import check_vectors


def test_every_computation_has_vectors_and_all_hold(contract, engine):
    tested = {v.computation for v in contract.services["contacts"].vectors}

    assert {name for slug, name in COMPUTATIONS if slug == "contacts"} == tested
    assert check_vectors(contract, engine) == []


def test_fields_are_those_of_the_contract(contract):
    schemas = contract.schemas
    decided = [n for n in schemas["ContactCreate"].node.get("properties") if n not in ("owner_id", "source", "custom_fields")]

    assert decided == list(FIELDS)
    assert list(contract.resources["contacts"].query) and set(SEARCHABLE) == {
        name for name, field in contract.resources["contacts"].query.items() if field.search
    }
    assert schemas["ContactImportField"].node.get("enum") == list(SYNONYMS)
    assert schemas["ContactRelationshipKind"].node.get("enum") == list(KINDS)


def test_every_operation_is_live(contract, engine):
    assert [o.id for o in contract.services["contacts"].operations if not engine.is_live(o.id)] == []
