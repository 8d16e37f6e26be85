"""Invitations: whom they reach, how long they hold, and how they become users."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, presents
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.people import USERS
from crm_reference.emulator.store import Record

INVITATIONS = "user-invitations"

#: What the emulator's control API shows as sent.
_MAILS = "outgoing-mails"
_DAYS = 7
#: What an invitation gives to the user that it becomes.
_HANDED_ON = ("first_name", "last_name", "job_title", "language", "manager_id")


@derives(INVITATIONS)
def derive(context: Context | None, invitation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Set what a new invitation begins with; its mail is asked for here, since batches come this way too."""
    derived: dict[str, Any] = {"email": invitation["email"].lower(), "valid_days": invitation.get("valid_days", _DAYS)}
    if context is None or "status" in invitation:
        return derived
    token = _token(context, invitation["id"], 1)
    _send_mail(context, derived["email"], token)
    return derived | {
        "status": "pending",
        "sent_count": 1,
        "last_sent_at": context.now,
        "expires_at": days_later(context.now, derived["valid_days"]),
        "_token": token,
        "_token_hash": _hash(token),
    }


@presents(INVITATIONS)
def present(context: Context, invitation: Record) -> Mapping[str, Any]:
    """Show an invitation whose time is over as expired."""
    return {"status": state_of(context, invitation)}


def state_of(context: Context, invitation: Record, /) -> str:
    """Return the state at this moment."""
    status: str = invitation.doc["status"]
    return "expired" if status == "pending" and invitation.doc["expires_at"] <= context.now else status


def _token(context: Context, id: str, count: int) -> str:
    return context.world.secret(f"invitation {id} {count}")


def _send_mail(context: Context, to: str, token: str) -> None:
    """Hand the mail to notifications, which sends it when it can; nobody waits for it."""
    context.ask("notifications", "sendMessage")
    id = context.new_id("eml")
    mail = {"id": id, "to": to, "template": "invitation", "variables": {"token": token}, "sent_at": context.now}
    context.world.store.put(context.tenant, Record(_MAILS, id, 1, mail))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


# -- rules ---------------------------------------------------------------------------------------------------------------------


@enforces("invited_address_free")
def invited_address_free(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for a user with the address."""
    if old is None and context.records.find(USERS, email=new["email"]):
        return f"A user has the address {new['email']}."
    return ""


@enforces("invited_once")
def invited_once(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Look for an invitation to the address that still waits."""
    others = context.records.find(INVITATIONS, email=new["email"]) if old is None else []
    waiting = [o for o in others if o.id != new["id"] and state_of(context, o) == "pending"]
    return f"{waiting[0].id} waits until {waiting[0].doc['expires_at']}." if waiting else ""


@enforces("invited_roles_not_above_own")
def invited_roles_not_above_own(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Compare the roles that wait with those of the caller."""
    for id in new.get("role_ids", ()) if old is None else ():
        role = context.records.peek(rights.ROLES, id)
        if role is not None and not rights.may_give(context, role):
            return f"{role.doc['name']} stands above your own roles."
    return ""


# -- operations ----------------------------------------------------------------------------------------------------------------


@handles("listUserInvitations")
def list_invitations(call: Call) -> Reply:
    """List invitations, after those whose time is over were marked."""
    for invitation in call.records.find(INVITATIONS, status="pending"):
        if state_of(call, invitation) == "expired":
            call.records.note(invitation, status="expired")
    return listing.list_records(call)


@handles("createUserInvitation")
def invite(call: Call) -> Reply:
    """Invite one person, and show the token this once."""
    invitation = call.records.create(INVITATIONS, call.body)
    event = "crm.user_invitation.created.v1"
    return _with_token(call, invitation, event, 201, Location=single.location(call, invitation))


def _with_token(call: Call, invitation: Record, event: str, status: int, **headers: str) -> Reply:
    """Tell the token's hash to authentication, show the token this once, and keep the hash alone."""
    token = invitation.doc["_token"]
    kept = {k: v for k, v in invitation.doc.items() if k != "_token"}
    call.world.store.put(call.tenant, Record(INVITATIONS, invitation.id, invitation.version, kept))
    call.emit(event, invitation.id, {"record": call.records.public(invitation), "token_hash": kept["_token_hash"]})
    return Reply(status, {"user_invitation": call.records.shown(invitation), "token": token}, {"ETag": invitation.etag, **headers})


@handles("resendUserInvitation")
def resend(call: Call) -> Reply:
    """Make a new link, which ends the old one, and send it."""
    invitation = call.found
    if state_of(call, invitation) not in ("pending", "expired"):
        raise _not_pending(invitation)
    count = invitation.doc["sent_count"] + 1
    token = _token(call, invitation.id, count)
    _send_mail(call, invitation.doc["email"], token)
    patch = {
        "_token": token,
        "_token_hash": _hash(token),
        "status": "pending",
        "sent_count": count,
        "last_sent_at": call.now,
        "expires_at": days_later(call.now, invitation.doc.get("valid_days", _DAYS)),
    }
    changed = call.records.change(invitation, patch)
    return _with_token(call, changed, "crm.user_invitation.resent.v1", 200)


@handles("revokeUserInvitation")
def revoke(call: Call) -> Reply:
    """Take an invitation back."""
    if state_of(call, call.found) not in ("pending", "expired"):
        raise _not_pending(call.found)
    changed = call.records.change(call.found, {"status": "revoked", "revoked_at": call.now})
    call.emit("crm.user_invitation.revoked.v1", changed.id, {"record": call.records.public(changed)})
    return single.shown(call, changed)


def _not_pending(invitation: Record) -> Problem:
    return Problem("invitation_not_pending", f"The invitation is {invitation.doc['status']}.")


@handles("acceptUserInvitation")
def accept(call: Call) -> Reply:
    """Make a user of an invitation, with the roles that waited."""
    found = call.records.find(INVITATIONS, _token_hash=_hash(call.body["token"]))
    if not found:
        error = {"pointer": "#/token", "code": "invitation_token_wrong", "detail": "belongs to no invitation"}
        raise Problem("invitation_token_wrong", "No invitation has this token.", [error])
    invitation, state = found[0], state_of(call, found[0])
    if state == "expired":
        raise Problem("invitation_expired", f"The link held until {invitation.doc['expires_at']}.")
    if state != "pending":
        raise _not_pending(invitation)
    user = _joined(call, invitation)
    patch = {"status": "accepted", "accepted_at": call.now, "user_id": user.id}
    accepted = call.records.change(invitation, patch)
    call.emit("crm.user_invitation.accepted.v1", accepted.id, {"record": call.records.public(accepted)})
    return single.shown(call, user, 201, Location=f"/v1/users/{user.id}")


def _joined(call: Call, invitation: Record) -> Record:
    """Create the user with what the invitation and the person say, and give the roles that still exist."""
    said = {k: v for k, v in call.body.items() if k != "token"}
    body = {k: invitation.doc[k] for k in _HANDED_ON if k in invitation.doc} | said
    if "last_name" not in body:
        error = {"pointer": "#/last_name", "code": "required", "detail": "is required where the invitation has none"}
        raise Problem("validation_failed", "1 field is not valid; see errors.", [error])
    email = invitation.doc["email"]
    if call.records.find(USERS, email=email):
        raise Problem("invited_user_exists", f"A user has the address {email} since the invitation.")
    user = call.records.create(USERS, {**body, "email": email, "source": "invitation"}, event="crm.user.created.v1")
    with upkeep(call):
        for role in invitation.doc.get("role_ids", ()):
            if call.records.peek(rights.ROLES, role) is not None:
                given = {"principal_id": user.id, "role_id": role, "reason": "Waited with the invitation."}
                call.records.create(rights.ASSIGNMENTS, given, event="crm.role_assignment.created.v1")
    return user
