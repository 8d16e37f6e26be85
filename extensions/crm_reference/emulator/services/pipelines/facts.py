"""Facts of deals: what pipelines has heard of each deal, and who may see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crm_reference.emulator import access, field_access
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import presents, sees
from crm_reference.emulator.services.pipelines.common import FACTS
from crm_reference.emulator.store import Record

#: Most stays that are kept of a deal.
_STAYS = 200
#: Members that may be hidden from a role, under the name that they have in deals.
_HIDEABLE = ("amount", "close_on", "source")
#: Members of a deal that its fact keeps under the same name.
_SAME = ("pipeline_id", "owner_id", "amount", "close_on", "source")


def is_visible(context: Context, owner: str, /) -> bool:
    """Tell whether a deal of an owner is visible to the caller, by the level of the caller's roles for deals."""
    subject = access.caller(context)
    if subject is None:
        return context.is_upkeep or context.identity.sees != "own" or owner == context.identity.user
    level = subject.level("deal", "read")
    return level == "all" or owner in subject.owners(level)


@sees(FACTS)
def see(context: Context, fact: Record) -> bool:
    """Show a fact where its deal would be shown."""
    return is_visible(context, fact.doc.get("owner_id", ""))


def seen(context: Context, pipeline: str, owner: str = "", /) -> list[dict[str, Any]]:
    """Return the facts of a pipeline's deals that the caller may see, without amounts where field security hides them.

    :param owner: Only deals of this user.
    """
    facts = [f.doc for f in context.records.find(FACTS, pipeline_id=pipeline) if see(context, f)]
    return [f for f in without_hidden(context, facts) if owner in ("", f.get("owner_id"))]


def _hidden(context: Context) -> list[str]:
    """Return the members of facts that are hidden from the caller as fields of deals."""
    limits = field_access.limited(context, "deal")
    return [name for name in _HIDEABLE if limits.get(name) == "hidden"]


def without_hidden(context: Context, facts: Iterable[Mapping[str, Any]], /) -> list[dict[str, Any]]:
    """Return documents of facts without what field security hides of deals from the caller."""
    hidden = _hidden(context)
    return [{k: v for k, v in fact.items() if k not in hidden} for fact in facts]


@presents(FACTS)
def present(context: Context, fact: Record) -> Mapping[str, Any]:
    """Leave out of a fact what field security hides of its deal."""
    return dict.fromkeys(_hidden(context))


def of_deal(context: Context, deal: str, /) -> Record | None:
    """Return the fact of a deal, or ``None``."""
    found = context.records.find(FACTS, deal_id=deal)
    return found[0] if found else None


def take_over(context: Context, deal: Mapping[str, Any], at: str, /, *, moves: bool = True, **said: Any) -> Record:
    """Bring a deal's fact up to date with what an event told, and return it. A deal that isn't known begins one.

    :param deal: The deal as the event has it.
    :param at: When it happened.
    :param moves: Whether the event tells of the deal's place; any other may have been written while the deal moved on.
    :param said: Further members; ``None`` removes one.
    """
    known = of_deal(context, deal["id"])
    patch = {name: deal[name] for name in _SAME if name in deal}
    if "amount" not in deal:
        patch["amount"] = None
    if known is None:
        begun = {"deal_id": deal["id"], "stage_id": deal["stage_id"], "status": "open"}
        begun["deal_created_at"] = deal.get("created_at", at)
        visits = [{"stage_id": deal["stage_id"], "entered_at": at}]
        kept = {k: v for k, v in {**begun, **patch, "visits": visits, **said}.items() if v is not None}
        return context.records.create(FACTS, kept)
    if moves and deal.get("stage_id", known.doc["stage_id"]) != known.doc["stage_id"]:
        *before, last = known.doc["visits"]
        visits = [*before, {**last, "left_at": at}, {"stage_id": deal["stage_id"], "entered_at": at}]
        patch |= {"stage_id": deal["stage_id"], "visits": visits[-_STAYS:]}
    return context.records.change(known, {**patch, **said})
