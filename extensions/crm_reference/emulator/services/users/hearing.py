"""What users does when another service tells it something; what it hears of roles stands in :mod:`.assignments`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.registry import hears
from crm_reference.emulator.services.users import rights
from crm_reference.emulator.services.users.people import USERS

Event = Mapping[str, Any]


@hears("crm.tenant.provisioned.v1")
def tenant_provisioned(context: Context, event: Event) -> None:
    """Create the tenant's first administrator, unless the address has a user, and give the role where nobody has it."""
    administrator = event["data"]["administrator"]
    found = context.records.find(USERS, email=administrator["email"].lower())
    if found:
        user = found[0]
    else:
        known = {k: administrator[k] for k in ("first_name", "last_name", "email", "language") if k in administrator}
        body = {"last_name": known["email"].partition("@")[0], **known}
        user = context.records.create(USERS, body, event="crm.user.created.v1")
    if rights.administrators(context):
        return
    with upkeep(context):
        for role in context.records.find(rights.ROLES, key=rights.ADMINISTRATOR):
            given = {"principal_id": user.id, "role_id": role.id, "reason": "The first user of the tenant."}
            context.records.create(rights.ASSIGNMENTS, given, event="crm.role_assignment.created.v1")


@hears("crm.session.started.v1")
def session_started(context: Context, event: Event) -> None:
    """Keep when a user last signed in, without a version: nobody changed the user."""
    session = event["data"].get("record") or event["data"]
    user = context.records.peek(USERS, session.get("user_id", ""))
    at = session.get("created_at") or context.now
    if user is not None and at > user.doc.get("last_signed_in_at", ""):
        context.records.note(user, last_signed_in_at=at)
