"""Which value survives a merge of contacts: the fields, what can be united, and where addresses and numbers that lose live on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.survivorship import Decided, Doc, Further, Survivorship

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


def _reason(contacts: Sequence[Doc], decided: Mapping[str, Decided]) -> Decided | None:
    """Take the reason from where the stage comes from: without it the reason would say of a customer why it was given up."""
    stage = decided["lifecycle_stage"]
    if not stage.ids:
        return None
    taken = SURVIVORSHIP.picked(contacts, "disqualification_reason", "contact", stage.ids[0])
    return Decided(stage.strategy, taken.value, taken.ids)


SURVIVORSHIP = Survivorship(
    "contact",
    FIELDS,
    united={"other_emails": 10, "other_phones": 10, "other_addresses": 10, "social_profiles": 10, "tags": 50, "external_ids": 20},
    keys={"other_emails": "address", "other_phones": "number", "social_profiles": "url"},
    further={
        "email": Further("other_emails", "address", lambda lost: {"address": lost, "label": "other"}),
        "phone": Further("other_phones", "number", lambda lost: {"number": lost, "label": "other"}),
        "address": Further("other_addresses", "address", lambda lost: {"label": "other", "address": lost}),
    },
    follows={"disqualification_reason": _reason},
)


@computes("merge_contacts")
def merge_contacts(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a merge.

    :param asked: ``contacts``, the target first, each with ``id``, ``created_at``, ``updated_at`` and its fields; and ``choices``.
    :return: ``record``, the surviving fields, and ``outcomes``.
    """
    record, outcomes = SURVIVORSHIP.decide(asked["contacts"], asked.get("choices", ()))
    return {"record": record, "outcomes": outcomes}
