"""Tries to sign in at a provider: how one begins, who is let in, and how it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from crm_reference.emulator.call import Context, Reply, World
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.authentication import sessions
from crm_reference.emulator.services.authentication.accounts import account_of, is_shut
from crm_reference.emulator.services.authentication.acting import acting, hashed
from crm_reference.emulator.services.authentication.passkeys import cookie
from crm_reference.emulator.services.authentication.sso_mapping import mapped, values_of
from crm_reference.emulator.services.authentication.sso_providers import PROVIDERS
from crm_reference.emulator.services.authentication.sso_routing import owner_of, user_by_email
from crm_reference.emulator.store import Record

ATTEMPTS = "sso-attempts"
LINKS = "identity-links"
#: How long a browser may stay at a provider, and by how much clocks may differ.
STATE_SECONDS = 600
GRACE_SECONDS = 60
START_PAGE = "https://app.crm.example/"
#: What a provider may tell of a user.
_FOLLOWED = ("first_name", "last_name", "language", "time_zone")
SIGN_IN_PAGE = "https://app.crm.example/sign-in"


class Refused(Exception):
    """What came back isn't right.

    :param failure: A value of ``SsoFailure``.
    :param detail: For the administrator's log.
    :param subject: Whom the provider named, once its signature was verified.
    """

    def __init__(self, failure: str, detail: str, /, subject: str = "") -> None:
        self.failure, self.detail, self.subject = failure, detail, subject
        super().__init__(detail)


def begin(context: Context, provider: Record, /, return_to: str, sign_in_id: str = "") -> tuple[Record, str]:
    """Note a try, and return it with its state."""
    state = context.world.secret("sso-state")
    nonce = context.world.secret("sso-nonce")
    hidden = {"_state": hashed(state), "_return_to": return_to, "_sign_in_id": sign_in_id, "_nonce": nonce}
    return context.records.create(ATTEMPTS, {"identity_provider_id": provider.id, "status": "started", **hidden}), state


def resume(world: World, state: str, kind: str, /) -> tuple[Context, Record, Record]:
    """Return a try that a state belongs to, with its provider and a context of its tenant.

    :raises Problem: ``sso_state_unknown``.
    """
    for tenant in world.store.tenants(ATTEMPTS) if world.store.has(ATTEMPTS) else ():
        for attempt in world.store.find(tenant, ATTEMPTS, _state=hashed(state)):
            context = acting(world, tenant)
            provider = context.records.peek(PROVIDERS, attempt.doc["identity_provider_id"])
            is_late = seconds_of(attempt.doc["created_at"]) + STATE_SECONDS <= seconds_of(context.now)
            if provider is not None and provider.doc["kind"] == kind and attempt.doc["status"] == "started" and not is_late:
                return context, attempt, provider
    raise Problem("sso_state_unknown", "The state belongs to no sign-in that is under way. Begin anew.")


def refuse(context: Context, attempt: Record, refused: Refused, /, error: str = "") -> Reply:
    """Note why a try failed, and lead the browser back to the sign-in page.

    The page learns of the provider's own refusal, of somebody who isn't admitted, and of anything else in one word: what would
    help a forger stands in the log alone.

    :param error: The provider's own code, where it gave one.
    """
    patch = {"status": "failed", "failure": refused.failure, "detail": refused.detail, "finished_at": context.now}
    context.records.change(attempt, patch | ({"external_subject": refused.subject} if refused.subject else {}))
    is_known = refused.failure in ("user_unknown", "user_deactivated")
    said = error or ("not_admitted" if is_known else "refused")
    return Reply(303, None, {"Location": f"{SIGN_IN_PAGE}?{urlencode({'error': said, 'attempt_id': attempt.id})}"})


def admit(context: Context, attempt: Record, provider: Record, claims: Mapping[str, Any], /, handle: str = "") -> Reply:
    """Let in whom verified claims name: a session begins, and the browser goes on.

    :param handle: The provider's own ID of its session, by which it may end ours.
    :raises Refused: Where nobody is let in.
    """
    outcome = mapped(provider.doc, claims)
    values = values_of(outcome)
    if outcome["missing"]:
        raise Refused("attributes_missing", f"The mapping gives no {' and no '.join(outcome['missing'])}.")
    subject = values["external_subject"]
    link = next(iter(context.records.find(LINKS, identity_provider_id=provider.id, external_subject=subject)), None)
    user, created = _user(context, provider, link, values, outcome.get("role_key", ""))
    if not created and provider.doc["provisioning"]["mode"] == "create_and_update":
        follow(context, user, values)
    acting_user = acting(context.world, context.tenant, user.id)
    if link is None:
        doc = {"user_id": user.id, "identity_provider_id": provider.id, "external_subject": subject, "is_user_created": created}
        acting_user.records.create(LINKS, {**doc, "last_used_at": context.now}, event="crm.identity_link.created.v1")
    else:
        acting_user.records.change(link, {"last_used_at": context.now})
    session, secret = sessions.start(acting_user, user.id, methods=["fed"], acr="urn:crm:acr:mfa")
    context.records.note(session, _identity_provider_id=provider.id, _provider_session=handle, _external_subject=subject)
    acting_user.records.change(provider, {"last_used_at": context.now})
    done = {"status": "succeeded", "external_subject": subject, "user_id": user.id, "session_id": session.id}
    done["created_by"] = user.id
    context.records.change(attempt, {**done, "is_user_created": created, "finished_at": context.now})
    target = attempt.doc.get("_return_to") or START_PAGE
    return Reply(303, None, {"Location": target, "Set-Cookie": cookie(context, secret)})


def _user(context: Context, provider: Record, link: Record | None, values: Mapping[str, str], role_key: str) -> tuple[Record, bool]:
    """Return whose account it is, and whether the user was created for it."""
    subject = values["external_subject"]
    if link is not None:
        user = context.records.peek("users", link.doc["user_id"])
    else:
        # By address alone only where the domain is this tenant's: anybody can run a provider that claims any address.
        is_ours = owner_of(context.world, values["email"].lower().rpartition("@")[2]) == context.tenant
        user = user_by_email(context, values["email"]) if is_ours else None
    if user is None:
        if provider.doc["provisioning"]["mode"] == "none":
            raise Refused("user_unknown", "No user has the account, and the provider creates none.", subject)
        return create_user(context, values, role_key), True
    if not user.doc.get("is_active", True):
        raise Refused("user_deactivated", f"{user.id} is deactivated.", subject)
    if is_shut(account_of(context, user.id)):
        raise Refused("user_deactivated", f"The account of {user.id} is locked by an administrator.", subject)
    return user, False


def create_user(context: Context, values: Mapping[str, str], role_key: str, /) -> Record:
    """Have users create somebody whom a provider knows, with the role that follows from the mapping.

    :raises Problem: ``unavailable`` while users can't be reached.
    """
    told = {k: values[k] for k in _FOLLOWED if k in values}
    last = values.get("last_name") or values["email"].partition("@")[0]
    body = {**told, "email": values["email"].lower(), "last_name": last, "source": "single_sign_on"}
    made = context.call("users", "createUser", body)
    if made is None:  # a contract without users
        user = Record("users", context.new_id("usr"), 1, {**body, "is_active": True, "role": role_key})
        user.doc |= {"id": user.id, "full_name": f"{told.get('first_name', '')} {last}".strip(), "created_at": context.now}
        context.world.store.put(context.tenant, user)
        return user
    role = next(iter(context.records.find("roles", key=role_key)), None) if role_key else None
    if role is not None:
        assignment = {"principal_id": made["id"], "role_id": role.id, "reason": "First sign-in by single sign-on."}
        context.call("users", "createRoleAssignment", assignment)
    return context.records.get("users", str(made["id"]))


def follow(context: Context, user: Record, values: Mapping[str, str], /) -> None:
    """Let names, language and time zone follow the provider.

    :raises Problem: ``unavailable`` while users can't be reached and something of them changed.
    """
    patch = {k: values[k] for k in _FOLLOWED if k in values and values[k] != user.doc.get(k)}
    if not patch:
        return
    context.ask("users", "updateUser")
    users = context.within("users")
    if "users" in context.world.contract.resources:
        users.records.change(user, patch, event="crm.user.updated.v1")
    else:
        context.world.store.put(context.tenant, Record("users", user.id, user.version + 1, {**user.doc, **patch}))
