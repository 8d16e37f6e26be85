"""What a conversion of a lead would make: mappings, what fits in contacts and accounts, and what stands in the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crm_reference.contract.schema_tree import property_node
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.records import merge_patch
from crm_reference.emulator.registry import computes, enforces
from crm_reference.emulator.rules import value_of
from crm_reference.emulator.store import Record

LEADS, MAPPINGS = "leads", "lead-field-mappings"
#: Kinds of record that a conversion makes, in the order in which they are made.
PARTS = ("account", "contact", "deal")
#: Collections of the parts in their services, which have the same names.
KEPT_BY = {"contact": "contacts", "account": "accounts", "deal": "deals"}
#: Field of the lead, kind of record, field there. The tenant's own mappings go before them.
BUILT_IN: tuple[tuple[str, str, str], ...] = (
    ("first_name", "contact", "first_name"),
    ("last_name", "contact", "last_name"),
    ("job_title", "contact", "job_title"),
    ("email", "contact", "email"),
    ("phone", "contact", "phone"),
    ("language", "contact", "language"),
    ("time_zone", "contact", "time_zone"),
    ("description", "contact", "description"),
    ("tags", "contact", "tags"),
    ("company_name", "account", "name"),
    ("website", "account", "website"),
    ("industry", "account", "industry"),
    ("employee_count", "account", "employee_count"),
    ("address", "account", "billing_address"),
    ("company_name", "deal", "name"),
    ("estimated_value", "deal", "amount"),
)
#: What each kind of record can't be without.
NEEDED = {"contact": "last_name", "account": "name", "deal": "name"}
#: Domains of addresses that say nothing about a company.
PUBLIC_DOMAINS = frozenset({"gmail.com", "outlook.com", "yahoo.com", "icloud.com", "proton.me", "freemail.example"})


@dataclass(slots=True)
class Part:
    """One record of a conversion.

    :param outcome: ``created``, ``matched``, ``existing`` or ``none``.
    :param id: The record that is used, where there is one.
    :param fields: Fields of the lead as the record's service names them.
    """

    kind: str
    outcome: str = "none"
    id: str = ""
    matches: list[dict[str, Any]] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """What a conversion would do, and the problems that keep it from being done."""

    parts: dict[str, Part]
    problems: list[Problem]


def refusal(code: str, detail: str, pointer: str = "", /) -> Problem:
    """Return a problem of a conversion; one that is about a place of the body as ``validation_failed`` with that code."""
    if not pointer:
        return Problem(code, detail)
    entry = {"pointer": pointer, "code": code, "detail": detail}
    return Problem("validation_failed", "1 field is not valid; see errors.", [entry])


# -- mappings --------------------------------------------------------------------------------------------------------------


@computes("lead_conversion_fields")
def carried(input: Mapping[str, Any], /) -> dict[str, dict[str, Any]]:
    """Return the fields of contact, account and deal that follow from a lead.

    :param input: ``lead`` and ``mappings``, each with ``lead_field``, ``object_type`` and ``target_field``.

    >>> carried({"lead": {"last_name": "Ruiz", "interests": ["radar"]}, "mappings": []})["contact"]
    {'last_name': 'Ruiz'}
    """
    lead = input["lead"]
    chosen = {(kind, target): source for source, kind, target in BUILT_IN}
    chosen |= {(m["object_type"], m["target_field"]): m["lead_field"] for m in input["mappings"]}
    made: dict[str, dict[str, Any]] = {kind: {} for kind in PARTS}
    for (kind, target), source in chosen.items():
        value = value_of(lead, source)
        if value not in (None, "", [], {}):
            made[kind] = merge_patch(made[kind], _nested(target.split("."), value))
    if "name" not in made["deal"]:
        name = lead.get("full_name") or lead.get("last_name")
        made["deal"] |= {"name": name} if name else {}
    domain = domain_of(lead)
    if domain and "domain" not in made["account"]:
        made["account"]["domain"] = domain
    return made


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    return {path[0]: value if len(path) == 1 else _nested(path[1:], value)}


def domain_of(lead: Mapping[str, Any], /) -> str:
    """Return the domain of a lead's address in lower case; empty where it is one that everybody can have."""
    domain = str(lead.get("email", "")).rpartition("@")[2].lower()
    return "" if domain in PUBLIC_DOMAINS else domain


def mappings_of(context: Context, /) -> list[dict[str, Any]]:
    """Return the tenant's own mappings that conversions follow, the oldest first."""
    return [r.doc for r in sorted(context.records.find(MAPPINGS, is_active=True), key=lambda r: r.id)]


@enforces("mapping_fields_exist")
def mapping_fields_exist(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str | tuple[str, str]:
    """Refuse a mapping from or to a field that isn't there."""
    if _kind_of(context, LEADS, new["lead_field"]) is None:
        return f"Leads have no field {new['lead_field']}.", "lead_field"
    if _target_kind(context, new) is None:
        return f"A creation of a {new['object_type']} sets no field {new['target_field']}.", "target_field"
    return ""


@enforces("mapping_types_fit")
def mapping_types_fit(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a mapping between fields of different types."""
    one, other = _kind_of(context, LEADS, new["lead_field"]), _target_kind(context, new)
    if one is None or other is None or "any" in (one, other) or one == other:
        return ""
    return f"{new['lead_field']} is a {one}, and {new['target_field']} a {other}."


def _target_kind(context: Context, mapping: Mapping[str, Any]) -> str | None:
    resource = context.world.contract.resources.get(KEPT_BY[mapping["object_type"]])
    if resource is None:
        return "any"
    path = mapping["target_field"].split(".")
    if path[0] == "custom_fields":
        return "any"
    node = property_node(context.world.contract.schemas[resource.create].node, path)
    return None if node is None else str(node.get("type", "any"))


def _kind_of(context: Context, collection: str, path: str) -> str | None:
    parts = path.split(".")
    if parts[0] == "custom_fields":
        return "any" if len(parts) > 1 else None
    node = property_node(context.resource(collection).node, parts)
    return None if node is None else str(node.get("type", "any"))


# -- plan ------------------------------------------------------------------------------------------------------------------


def check_choices(body: Mapping[str, Any], /) -> None:
    """Refuse a mode and a record that don't fit together.

    :raises Problem: ``validation_failed`` with ``lead_conversion_choice_invalid``.
    """
    for kind in ("contact", "account"):
        is_existing, has_id = body.get(f"{kind}_mode") == "existing", f"{kind}_id" in body
        if is_existing != has_id:
            detail = f"The mode existing and {kind}_id come together or not at all."
            raise refusal("lead_conversion_choice_invalid", detail, f"#/{kind}_id" if has_id else f"#/{kind}_mode")
    if "deal" in body and not body.get("has_deal"):
        raise refusal("lead_conversion_choice_invalid", "Details of a deal come with has_deal alone.", "#/deal")


def plan(context: Context, lead: Record, body: Mapping[str, Any], /) -> Plan:
    """Return what a conversion would do. Contacts and accounts are asked on behalf of the caller."""
    fields = carried({"lead": lead.doc, "mappings": mappings_of(context)})
    parts = {kind: Part(kind, fields=fields[kind]) for kind in PARTS}
    found = Plan(parts, [])
    if lead.doc["status"] != "qualified" and (not body.get("qualifies") or lead.doc["status"] == "disqualified"):
        found.problems.append(refusal("lead_not_qualified", f"{lead.id} is {lead.doc['status']}."))
    contact = parts["contact"]
    _choose(found, contact, body, _people(context, lead))
    if body.get("has_account", True):
        _choose(found, parts["account"], body, _companies(context, lead, contact))
    if body.get("has_deal"):
        parts["deal"].outcome = "created"
        parts["deal"].fields |= body.get("deal", {})
    for part in parts.values():
        if part.outcome == "created" and NEEDED[part.kind] not in part.fields:
            part.missing.append(NEEDED[part.kind])
            is_optional = part.kind == "account" and body.get("account_mode", "match") == "match"
            if is_optional:
                part.outcome, part.missing = "none", []
            else:
                detail = f"{lead.id} gives no {NEEDED[part.kind]} for the {part.kind}."
                found.problems.append(refusal("lead_conversion_incomplete", detail))
        if part.outcome != "created":
            part.fields = part.fields if part.kind == "contact" and part.outcome != "none" else {}
    return found


def _choose(plan: Plan, part: Part, body: Mapping[str, Any], matches: list[dict[str, Any]]) -> None:
    """Decide between what fits, what the request names and a new record."""
    mode = body.get(f"{part.kind}_mode", "match")
    part.matches = matches
    if mode == "existing":
        part.outcome, part.id = "existing", body[f"{part.kind}_id"]
    elif mode == "match" and len(matches) == 1:
        part.outcome, part.id = "matched", matches[0]["id"]
    else:
        part.outcome = "created"
        if mode == "match" and matches:
            listed = ", ".join(m["id"] for m in matches)
            plan.problems.append(refusal("lead_conversion_ambiguous", f"These fit equally well: {listed}."))
        if part.kind == "account" and any(m["reason"] == "domain" for m in matches):
            part.fields.pop("domain", None)


def _people(context: Context, lead: Record) -> list[dict[str, Any]]:
    return _asked(context, "contact", "email", lead.doc.get("email"), "email")


def _companies(context: Context, lead: Record, contact: Part) -> list[dict[str, Any]]:
    """Return the accounts that fit: by domain and by name, else the one of the contact that fits."""
    fitting = _asked(context, "account", "domain", domain_of(lead.doc), "domain")
    by_name = _asked(context, "account", "name", lead.doc.get("company_name"), "company_name")
    fitting += [m for m in by_name if m["id"] not in {f["id"] for f in fitting}]
    account = contact.matches[0].get("_account_id") if contact.outcome == "matched" and not fitting else None
    return fitting or ([{"id": account, "name": account, "reason": "contact"}] if account else [])


def _asked(context: Context, kind: str, field: str, value: str | None, reason: str) -> list[dict[str, Any]]:
    """Return the records of a neighbour whose field has a value."""
    service = KEPT_BY[kind]
    asked = {"filter_groups": [{"filters": [{"field": field, "operator": "eq", "value": value or "-"}]}], "limit": 10}
    answer = context.call(service, f"search{service.capitalize()}", asked) or {}
    found = []
    for doc in answer.get("data", ()) if value else ():
        name = doc.get("name") or doc.get("full_name") or " ".join(doc[n] for n in ("first_name", "last_name") if n in doc)
        found.append({"id": doc["id"], "name": name, "reason": reason, "_account_id": doc.get("account_id")})
    return found


def shown(lead: Record, plan: Plan, /) -> dict[str, Any]:
    """Return a plan as clients see it: contact, account, deal."""
    parts = [plan.parts[kind] for kind in ("contact", "account", "deal")]
    return {
        "lead_id": lead.id,
        "is_possible": not plan.problems,
        "parts": [
            {
                "object_type": part.kind,
                "outcome": part.outcome,
                "matches": [{k: v for k, v in m.items() if not k.startswith("_")} for m in part.matches],
                "fields": part.fields,
                "missing": part.missing,
            }
            for part in parts
        ],
        "blockers": list(dict.fromkeys(p.code for p in plan.problems)),
    }
