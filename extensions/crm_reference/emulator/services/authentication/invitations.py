"""Invitations: users makes and keeps them; whoever has the token from the mail sees and accepts them here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles, hears
from crm_reference.emulator.services.authentication.accounts import demand_good, give_first_password, hash_password
from crm_reference.emulator.services.authentication.acting import NO_STORE, acting, hashed, mail_hint
from crm_reference.emulator.services.authentication.password_policy import effective
from crm_reference.emulator.services.authentication.registrations import new_user, tell_first_password
from crm_reference.emulator.store import Record

INVITATIONS = "account-invitations"


@hears("crm.user_invitation.created.v1")
def invited(context: Context, event: Mapping[str, Any]) -> None:
    """Keep what an invitation says, with the hash of its token."""
    record = event["data"]["record"]
    name = " ".join(record[k] for k in ("first_name", "last_name") if record.get(k))
    doc = {
        "id": record["id"],
        "email": str(record["email"]).lower(),
        "full_name": name,
        "expires_at": record.get("expires_at") or days_later(context.now, 7),
        "status": "pending",
        "token_hash": event["data"].get("token_hash", ""),
    }
    context.world.store.put(context.tenant, Record(INVITATIONS, record["id"], 1, {k: v for k, v in doc.items() if v}))


@hears("crm.user_invitation.resent.v1")
def resent(context: Context, event: Mapping[str, Any]) -> None:
    """Let the token of the later mail take the earlier one's place."""
    invited(context, event)


@hears("crm.user_invitation.revoked.v1")
def revoked(context: Context, event: Mapping[str, Any]) -> None:
    """Let the invitation's token hold no longer."""
    record = event["data"]["record"]
    known = context.world.store.get(context.tenant, INVITATIONS, record["id"])
    doc = known.doc if known is not None else {"id": record["id"]}
    context.world.store.put(context.tenant, Record(INVITATIONS, record["id"], 1, {**doc, "status": "revoked"}))


def _invitation(call: Call) -> tuple[Context, Record]:
    """Return the invitation of a token, with a context of its tenant.

    :raises Problem: ``invitation_not_valid``, whatever is wrong with it.
    """
    store = call.world.store
    for tenant in store.tenants(INVITATIONS):
        for record in store.find(tenant, INVITATIONS, token_hash=hashed(call.body["token"]), status="pending"):
            if record.doc["expires_at"] > call.now:
                return acting(call.world, tenant), record
    raise Problem("invitation_not_valid", "The invitation can't be used. Ask whoever invited you for another one.")


@handles("previewInvitation")
def preview(call: Call) -> Reply:
    """Return what an invitation says."""
    context, record = _invitation(call)
    tenant = context.world.store.get(context.tenant, "tenants", context.tenant)
    shown = {
        "invitation_id": record.id,
        "email_hint": mail_hint(record.doc["email"]),
        "full_name": record.doc.get("full_name"),
        "company_name": tenant.doc.get("name") if tenant is not None else None,
        "expires_at": record.doc["expires_at"],
        "password_policy": effective(context),
    }
    return Reply(200, {k: v for k, v in shown.items() if v is not None}, dict(NO_STORE))


@handles("acceptInvitation")
def accept(call: Call) -> Reply:
    """Have users make a user of an invitation, and give the user an account."""
    context, record = _invitation(call)
    email = record.doc["email"]
    name = call.body.get("full_name") or record.doc.get("full_name") or email.partition("@")[0]
    demand_good(context, call.body["password"], "#/password", email, name)
    first, _, last = name.rpartition(" ")
    body = {"token": call.body["token"], "last_name": last} | ({"first_name": first} if first else {})
    made = None
    if context.world.store.get(context.tenant, "user-invitations", record.id) is not None:
        made = context.call("users", "acceptUserInvitation", body)
    else:  # the event was delivered by hand, and users knows of no invitation
        context.ask("users", "acceptUserInvitation")
    user = str(made["id"]) if made else new_user(context, email, name)
    own = acting(call.world, context.tenant, user)
    give_first_password(own, user, email, hash_password(call.world, call.body["password"]))
    call.world.store.put(context.tenant, Record(INVITATIONS, record.id, 1, {**record.doc, "status": "accepted"}))
    tell_first_password(own, user, "invitation")
    answer = {"invitation_id": record.id, "user_id": user, "tenant_id": context.tenant}
    return Reply(201, answer | {"email_hint": mail_hint(email), "accepted_at": call.now})
