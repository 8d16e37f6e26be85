"""Which value survives a merger of accounts: the fields, what can be united, and where domains that lose live on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.survivorship import Decided, Doc, Further, Survivorship

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


def _reason(accounts: Sequence[Doc], decided: Mapping[str, Decided]) -> Decided | None:
    """Leave the reason out where the type is another: it would say of a customer why it left."""
    return None if decided["type"].value == "former_customer" else Decided("target")


SURVIVORSHIP = Survivorship(
    "account",
    FIELDS,
    united={"other_domains": 20, "tags": 50, "external_ids": 20},
    further={"domain": Further("other_domains")},
    follows={"churn_reason": _reason},
    numeric=frozenset({"employee_count"}),
    texts=frozenset({"name", "legal_name", "description"}),
    word="merger",
)


@computes("merge_accounts")
def merge_accounts(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a merger.

    :param asked: ``accounts``, the target first, each with ``id``, ``created_at``, ``updated_at`` and its fields; and ``choices``.
    :return: ``record``, the surviving fields, and ``outcomes``.
    """
    record, outcomes = SURVIVORSHIP.decide(asked["accounts"], asked.get("choices", ()))
    return {"record": record, "outcomes": outcomes}
