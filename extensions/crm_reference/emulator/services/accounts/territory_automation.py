"""Accounts that are assigned by themselves: each gets a job of its own once it is created or changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.accounts import reaching
from crm_reference.emulator.services.accounts.territory_places import active_model
from crm_reference.emulator.services.accounts.territory_rules import Judgement
from crm_reference.emulator.services.accounts.territory_runs import plan

_KIND = "assign_territories"


@hears("crm.account.created.v1")
def account_created(context: Context, event: Mapping[str, Any]) -> None:
    """Assign a new account, where the model in force does so by itself."""
    _assign(context, event["data"]["record"]["id"])


@hears("crm.account.updated.v1")
def account_updated(context: Context, event: Mapping[str, Any]) -> None:
    """Assign a changed account anew, where the change means another territory."""
    _assign(context, event["data"]["record"]["id"])


def _assign(context: Context, account: str) -> None:
    model = active_model(context)
    if model is None or not model.doc.get("is_automatic") or context.records.peek(reaching.ACCOUNTS, account) is None:
        return
    entries = plan(context, Judgement(context, model.id, [account]), model.id, account)
    waiting = (j.doc for s in ("queued", "running") for j in context.records.find(reaching.JOBS.name, status=s, kind=_KIND))
    if any(not e["action"].startswith("keep") for e in entries) and not any(account in j["_items"] for j in waiting):
        told = {"event": reaching.JOBS.finished, "failed_event": reaching.JOBS.finished}
        context.jobs.start(
            reaching.JOBS.name, f"accounts.{_KIND}", [account], **told, kind=_KIND, is_validate_only=False, _strategy="keep"
        )
