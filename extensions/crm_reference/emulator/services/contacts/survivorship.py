"""Which value survives a merge: a pure function from contacts and choices to the surviving fields and how each was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.registry import computes

Doc = Mapping[str, Any]

#: Fields that a merge decides, in the order of the schema; custom fields follow one by one.
FIELDS = (
    "salutation",
    "first_name",
    "middle_name",
    "last_name",
    "preferred_name",
    "job_title",
    "department",
    "seniority",
    "email",
    "other_emails",
    "phone",
    "other_phones",
    "address",
    "other_addresses",
    "website",
    "social_profiles",
    "photo_url",
    "born_on",
    "language",
    "time_zone",
    "preferred_channel",
    "description",
    "lifecycle_stage",
    "disqualification_reason",
    "source_detail",
    "account_id",
    "reports_to_id",
    "tags",
    "external_ids",
)
#: Fields whose entries can be united, with how many they hold at most.
UNITED = {"other_emails": 10, "other_phones": 10, "other_addresses": 10, "social_profiles": 10, "tags": 50, "external_ids": 20}
#: What makes two entries of a list equal, where it isn't the whole entry.
_KEYS = {"other_emails": "address", "other_phones": "number", "social_profiles": "url"}
#: A primary value that loses becomes a further one: where, and as which member.
_FURTHER = {"email": ("other_emails", "address"), "phone": ("other_phones", "number"), "address": ("other_addresses", "address")}


def is_set(value: Any, /) -> bool:
    """Tell whether a field has a value."""
    return value not in (None, "", [], {})


def default_strategy(field: str, /) -> str:
    """Return the strategy of a field that no choice names."""
    return "union" if field in UNITED else "longest" if field == "description" else "target"


def field_of(doc: Doc, field: str, /) -> Any:
    """Return a field's value; custom fields are named ``custom_fields.name``."""
    head, _, name = field.partition(".")
    return doc.get(head, {}).get(name) if name else doc.get(head)


@computes("merge_contacts")
def merge_contacts(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a merge.

    :param asked: ``contacts``, the target first, each with ``id``, ``created_at``, ``updated_at`` and its fields; and ``choices``.
    :return: ``record``, the surviving fields, and ``outcomes``.
    """
    record, outcomes = decide(asked["contacts"], asked.get("choices", ()))
    return {"record": record, "outcomes": outcomes}


def decide(contacts: Sequence[Doc], choices: Sequence[Mapping[str, Any]], /) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the surviving fields, and for each field that a contact has how it was decided.

    :param contacts: Documents, the target first, the sources in the order of the request.
    """
    chosen = {choice["field"]: choice for choice in choices}
    customs = dict.fromkeys(f"custom_fields.{name}" for c in contacts for name in c.get("custom_fields", {}))
    values: dict[str, Any] = {}
    origins: dict[str, list[str]] = {}
    strategies: dict[str, str] = {}
    for field in (*FIELDS, *customs):
        choice = chosen.get(field, {})
        stage_of = origins.get("lifecycle_stage") if field == "disqualification_reason" and not choice else None
        if stage_of:
            # A reason without its stage would say of a customer why the customer was given up.
            strategies[field] = strategies["lifecycle_stage"]
            values[field], origins[field] = _pick(contacts, field, "contact", stage_of[0])
            continue
        strategies[field] = choice.get("strategy", default_strategy(field))
        values[field], origins[field] = _pick(contacts, field, strategies[field], choice.get("contact_id", ""))
    _keep_losers(contacts, values, origins)
    outcomes = []
    for field in (*FIELDS, *customs):
        present = [field_of(c, field) for c in contacts if is_set(field_of(c, field))]
        if present or is_set(values[field]):
            outcome: dict[str, Any] = {"field": field, "strategy": strategies[field]}
            if is_set(values[field]):
                outcome["value"] = values[field]
            outcomes.append(outcome | {"contact_ids": origins[field], "is_conflict": any(v != present[0] for v in present[1:])})
    return _assembled(values), outcomes


def _assembled(values: Mapping[str, Any]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field, value in values.items():
        head, _, name = field.partition(".")
        if is_set(value):
            if name:
                record.setdefault(head, {})[name] = value
            else:
                record[head] = value
    return record


def _pick(contacts: Sequence[Doc], field: str, strategy: str, contact_id: str) -> tuple[Any, list[str]]:
    having = [c for c in contacts if is_set(field_of(c, field))]
    if strategy == "contact":
        having = [c for c in having if c["id"] == contact_id]
    if not having:
        return None, []
    if strategy == "union":
        return _united(having, field)
    ranked: Mapping[str, Callable[[], Doc]] = {
        "source": lambda: next((c for c in having if c is not contacts[0]), having[0]),
        "newest": lambda: max(having, key=lambda c: c["updated_at"]),
        "oldest": lambda: min(having, key=lambda c: c["created_at"]),
        "longest": lambda: max(having, key=lambda c: len(field_of(c, field)) if isinstance(field_of(c, field), str) else 0),
    }
    winner = ranked.get(strategy, lambda: having[0])()
    return field_of(winner, field), [winner["id"]]


def _united(having: Sequence[Doc], field: str) -> tuple[Any, list[str]]:
    limit, key = UNITED.get(field, 100), _KEYS.get(field)
    origins = []
    if isinstance(field_of(having[0], field), Mapping):
        united: dict[str, Any] = {}
        for contact in having:
            new = {k: v for k, v in field_of(contact, field).items() if k not in united}
            united |= dict(list(new.items())[: limit - len(united)])
            if new:
                origins.append(contact["id"])
        return united, origins
    entries: list[Any] = []
    for contact in having:
        before = len(entries)
        for entry in field_of(contact, field):
            same = (e[key] == entry[key] if key else e == entry for e in entries)
            if not any(same) and len(entries) < limit:
                entries.append(entry)
        if len(entries) > before:
            origins.append(contact["id"])
    return entries, origins


def _keep_losers(contacts: Sequence[Doc], values: dict[str, Any], origins: dict[str, list[str]]) -> None:
    """Make further addresses and numbers of the primary ones that lost, and drop entries that repeat the one that won."""
    for primary, (further, member) in _FURTHER.items():
        entries = [e for e in values[further] or () if e[member] != values[primary]]
        for contact in contacts:
            lost = contact.get(primary)
            known = lost == values[primary] or any(e[member] == lost for e in entries)
            if is_set(lost) and not known and len(entries) < UNITED[further]:
                entries.append({"label": "other", member: lost} if primary == "address" else {member: lost, "label": "other"})
                if contact["id"] not in origins[further]:
                    origins[further].append(contact["id"])
        values[further] = entries or None
        if not entries:
            origins[further] = []
