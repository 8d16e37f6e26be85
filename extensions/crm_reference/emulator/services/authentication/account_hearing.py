"""What users and security tell that decides who can sign in, how, from where and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.accounts import ACCOUNTS, account_of, create_account, resting
from crm_reference.emulator.services.authentication.password_policy import keep_rules
from crm_reference.emulator.services.authentication.signing import NETWORKS
from crm_reference.emulator.store import Record

Event = Mapping[str, Any]


@hears("crm.user.created.v1")
def user_created(context: Context, event: Event) -> None:
    """Have an account wait for the user's first password."""
    record = event["data"]["record"]
    if record.get("email") and not context.records.find(ACCOUNTS, user_id=record["id"]):
        create_account(context, record["id"], record["email"])


@hears("crm.user.updated.v1")
def user_updated(context: Context, event: Event) -> None:
    """Let the user sign in with the new address."""
    record = event["data"]["record"]
    account = account_of(context, record["id"])
    if account is not None and record.get("email"):
        context.records.change(account, {"email": record["email"].lower()})


@hears("crm.user.deactivated.v1")
def user_deactivated(context: Context, event: Event) -> None:
    """Disable the account and end the user's sessions."""
    user = event["data"]["record"]["id"]
    account = account_of(context, user)
    if account is not None:
        patch = {"status": "disabled", "locked_at": None, "lock_ends_at": None, "lock_reason": None}
        context.records.change(account, patch)
    sessions.end_all(context, user, "user_deactivated")


@hears("crm.user.reactivated.v1")
def user_reactivated(context: Context, event: Event) -> None:
    """Let the user sign in again."""
    account = account_of(context, event["data"]["record"]["id"])
    if account is not None and account.doc["status"] == "disabled":
        context.records.change(account, {"status": resting(account)})


@hears("crm.password_policy.changed.v1")
def password_policy_changed(context: Context, event: Event) -> None:
    """Keep the tenant's rules for passwords."""
    keep_rules(context, event["data"]["record"])


@hears("crm.session_policy.changed.v1")
def session_policy_changed(context: Context, event: Event) -> None:
    """Keep the tenant's rules for sessions."""
    sessions.keep_rules(context, event["data"]["record"])


@hears("crm.ip_rule.created.v1")
def ip_rule_created(context: Context, event: Event) -> None:
    """Keep a rule for a network."""
    rule = event["data"]["record"]
    doc = {name: rule[name] for name in ("id", "network", "effect", "is_enabled", "expires_at") if name in rule}
    context.world.store.put(context.tenant, Record(NETWORKS, rule["id"], 1, doc))


@hears("crm.ip_rule.updated.v1")
def ip_rule_updated(context: Context, event: Event) -> None:
    """Keep a rule as it is now."""
    ip_rule_created(context, event)


@hears("crm.ip_rule.deleted.v1")
def ip_rule_deleted(context: Context, event: Event) -> None:
    """Forget a rule for networks."""
    context.world.store.remove(context.tenant, NETWORKS, event["data"]["record"]["id"])
