"""Which value survives a merger: a pure function from accounts and choices to the surviving fields and how each was decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.registry import computes

Doc = Mapping[str, Any]

#: Fields that a merger decides, in the order of the schema; custom fields follow one by one.
FIELDS = (
    "name",
    "legal_name",
    "domain",
    "other_domains",
    "website",
    "email",
    "phone",
    "registration_number",
    "vat_number",
    "type",
    "churn_reason",
    "tier",
    "industry",
    "employee_count",
    "annual_revenue",
    "founded_on",
    "currency",
    "language",
    "time_zone",
    "billing_address",
    "shipping_address",
    "description",
    "parent_id",
    "primary_contact_id",
    "tags",
    "external_ids",
)
#: Fields whose entries can be united, with how many they hold at most.
UNITED = {"other_domains": 20, "tags": 50, "external_ids": 20}
#: Fields whose greatest value can be taken.
NUMERIC = frozenset({"employee_count"})
TEXTS = frozenset({"name", "legal_name", "description"})


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


@computes("merge_accounts")
def merge_accounts(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a merger.

    :param asked: ``accounts``, the target first, each with ``id``, ``created_at``, ``updated_at`` and its fields; and ``choices``.
    :return: ``record``, the surviving fields, and ``outcomes``.
    """
    record, outcomes = decide(asked["accounts"], asked.get("choices", ()))
    return {"record": record, "outcomes": outcomes}


def decide(accounts: Sequence[Doc], choices: Sequence[Doc], /) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the surviving fields, and for each field that an account has how it was decided.

    :param accounts: Documents, the target first, the sources in the order of the request.
    """
    chosen = {choice["field"]: choice for choice in choices}
    customs = dict.fromkeys(f"custom_fields.{name}" for a in accounts for name in a.get("custom_fields", {}))
    values: dict[str, Any] = {}
    origins: dict[str, list[str]] = {}
    strategies: dict[str, str] = {}
    for field in (*FIELDS, *customs):
        choice = chosen.get(field, {})
        if field == "churn_reason" and not choice and values["type"] != "former_customer":
            strategies[field], values[field], origins[field] = "target", None, []
            continue  # a reason without its type would say of a customer why it left
        strategies[field] = choice.get("strategy", default_strategy(field))
        values[field], origins[field] = _pick(accounts, field, strategies[field], choice.get("account_id", ""))
    _keep_domains(accounts, values, origins)
    outcomes = []
    for field in (*FIELDS, *customs):
        present = [field_of(a, field) for a in accounts if is_set(field_of(a, field))]
        if present or is_set(values[field]):
            outcome: dict[str, Any] = {"field": field, "strategy": strategies[field]}
            if is_set(values[field]):
                outcome["value"] = values[field]
            outcomes.append(outcome | {"account_ids": origins[field], "is_conflict": any(v != present[0] for v in present[1:])})
    return _assembled(values), outcomes


def _assembled(values: Doc) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for field, value in values.items():
        head, _, name = field.partition(".")
        if is_set(value):
            if name:
                record.setdefault(head, {})[name] = value
            else:
                record[head] = value
    return record


def _pick(accounts: Sequence[Doc], field: str, strategy: str, account_id: str) -> tuple[Any, list[str]]:
    having = [a for a in accounts if is_set(field_of(a, field))]
    if strategy == "account":
        having = [a for a in having if a["id"] == account_id]
    if not having:
        return None, []
    if strategy == "union":
        return _united(having, field)
    winner = having[0]
    if strategy == "source":
        winner = next((a for a in having if a is not accounts[0]), winner)
    elif strategy == "newest":
        winner = max(having, key=lambda a: a["updated_at"])
    elif strategy == "oldest":
        winner = min(having, key=lambda a: a["created_at"])
    elif strategy == "longest":
        winner = max(having, key=lambda a: len(field_of(a, field)))
    elif strategy == "highest":
        winner = max(having, key=lambda a: field_of(a, field))
    return field_of(winner, field), [winner["id"]]


def _united(having: Sequence[Doc], field: str) -> tuple[Any, list[str]]:
    limit = UNITED.get(field, 100)
    origins = []
    if isinstance(field_of(having[0], field), Mapping):
        keys: dict[str, Any] = {}
        for account in having:
            new = {k: v for k, v in field_of(account, field).items() if k not in keys}
            keys |= dict(list(new.items())[: limit - len(keys)])
            if new:
                origins.append(account["id"])
        return keys, origins
    entries: list[Any] = []
    for account in having:
        new_ones = [e for e in field_of(account, field) if e not in entries][: limit - len(entries)]
        entries += new_ones
        if new_ones:
            origins.append(account["id"])
    return entries, origins


def _keep_domains(accounts: Sequence[Doc], values: dict[str, Any], origins: dict[str, list[str]]) -> None:
    """Make further domains of the primary ones that lost, and drop entries that repeat the one that won."""
    entries = [d for d in values["other_domains"] or () if d != values["domain"]]
    for account in accounts:
        lost = account.get("domain")
        if lost and lost != values["domain"] and lost not in entries and len(entries) < UNITED["other_domains"]:
            entries.append(lost)
            if account["id"] not in origins["other_domains"]:
                origins["other_domains"].append(account["id"])
    values["other_domains"] = entries or None
    if not entries:
        origins["other_domains"] = []
