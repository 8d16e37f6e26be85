"""What pipelines does when deals, users and custom-objects tell it something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator import hearing, owners
from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.pipelines.actions import fire
from crm_reference.emulator.services.pipelines.common import FACTS, STAGES
from crm_reference.emulator.services.pipelines.facts import of_deal, take_over
from crm_reference.emulator.store import Record

Event = Mapping[str, Any]


def _when(context: Context, event: Event) -> str:
    return str(event.get("time") or context.now)


@hears("crm.deal.created.v1")
def deal_created(context: Context, event: Event) -> None:
    """Begin the deal's fact, and let rules act that watch its first stage."""
    deal = event["data"]["record"]
    is_new = of_deal(context, deal["id"]) is None
    take_over(context, deal, _when(context, event))
    if is_new:
        fire(context, "enter", deal, deal["stage_id"])


@hears("crm.deal.stage_changed.v1")
def stage_changed(context: Context, event: Event) -> None:
    """End one stay and begin another, and let rules act on both."""
    data = event["data"]
    deal = data["record"]
    known = of_deal(context, deal["id"])
    take_over(context, deal, _when(context, event))
    if known is not None and known.doc["stage_id"] == data["to_stage_id"]:
        return  # it was told before, perhaps in another way: nobody acts twice on one move
    if data.get("from_stage_id"):
        fire(context, "exit", deal, data["from_stage_id"])
    fire(context, "enter", deal, data["to_stage_id"])


@hears("crm.deal.won.v1")
def deal_won(context: Context, event: Event) -> None:
    """Count the deal as won."""
    deal = event["data"]["record"]
    if _close(context, deal, _when(context, event), "won"):
        fire(context, "won", deal, deal["stage_id"])


@hears("crm.deal.lost.v1")
def deal_lost(context: Context, event: Event) -> None:
    """Count the deal as lost, with the reason."""
    deal, reason = event["data"]["record"], event["data"].get("reason")
    said = reason if isinstance(reason, str) else deal.get("close_reason_id")
    if _close(context, deal, _when(context, event), "lost", lost_reason=said):
        fire(context, "lost", deal, deal["stage_id"])


def _close(context: Context, deal: Mapping[str, Any], at: str, status: str, **said: Any) -> bool:
    """Count a deal as closed, and tell whether it wasn't so before."""
    known = of_deal(context, deal["id"])
    if known is not None and known.doc["status"] == status:
        return False
    take_over(context, deal, at, status=status, closed_at=at, **said)
    return True


@hears("crm.deal.reopened.v1")
def deal_reopened(context: Context, event: Event) -> None:
    """Count the deal as open again."""
    take_over(context, event["data"]["record"], _when(context, event), status="open", closed_at=None, lost_reason=None)


@hears("crm.deal.updated.v1")
def deal_updated(context: Context, event: Event) -> None:
    """Take over amount, owner, expected day and source."""
    deal = event["data"]["record"]
    if of_deal(context, deal["id"]) is not None or "stage_id" in deal:
        take_over(context, deal, _when(context, event), moves=False)


@hears("crm.deal.owner_changed.v1")
def owner_changed(context: Context, event: Event) -> None:
    """Let the fact and the runs of the deal be seen by whoever may see the new owner's deals."""
    deal = event["data"]["record"]
    if of_deal(context, deal["id"]) is not None:
        take_over(context, deal, _when(context, event), moves=False)


@hears("crm.deal.restored.v1")
def deal_restored(context: Context, event: Event) -> None:
    """Count a deal again that came back from the recycle bin. No rule fires: it never left its stage."""
    deal = event["data"]["record"]
    if of_deal(context, deal["id"]) is None and deal["status"] == "open":
        take_over(context, deal, deal.get("stage_entered_at") or _when(context, event))


@hears("crm.deal.deleted.v1")
def deal_deleted(context: Context, event: Event) -> None:
    """Forget an open deal, so that it counts nowhere; what was closed stays for analytics."""
    fact = of_deal(context, event["data"]["record"]["id"])
    if fact is not None and fact.doc["status"] == "open":
        context.records.delete(fact)


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Event) -> None:
    """Let actions fail that name the user."""
    _note_user(context, event["data"]["record"]["id"], is_active=False)


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Event) -> None:
    """Let actions go through again that name the user."""
    _note_user(context, event["data"]["record"]["id"], is_active=True)


def _note_user(context: Context, user: str, *, is_active: bool) -> None:
    context.world.store.put(context.tenant, Record(owners.COLLECTION, user, 1, {"id": user, "is_active": is_active}))


@hears("crm.field_security.changed.v1")
def field_security_changed(context: Context, event: Event) -> None:
    """Keep what roles may do with fields of deals: facts show no more of a deal than deals would, and rules set no more."""
    hearing.take_field_security(context, event, "deal")


@hears("crm.custom_field.changed.v1")
def custom_field_changed(context: Context, event: Event) -> None:
    """Let conditions name a custom field of deals."""
    hearing.take_custom_field(context, event, "deal")


@hears("crm.custom_field.deleted.v1")
def custom_field_deleted(context: Context, event: Event) -> None:
    """Take a custom field of deals out of the list of fields, and stop to demand what no deal can have any more."""
    hearing.drop_custom_field(context, event, "deal", FACTS)
    data = event["data"]
    told = data.get("field") or data["record"]
    if (data.get("object_type") or told.get("object_type")) != "deal":
        return
    name = f"custom_fields.{told['name']}"
    for stage in context.world.store.select(context.tenant, STAGES):
        kept = [field for field in stage.doc["required_fields"] if field != name]
        if kept != stage.doc["required_fields"]:
            context.records.change(stage, {"required_fields": kept}, event="crm.stage.updated.v1")
