"""Scopes of a request: what may be asked for, what a user can grant, and what the words for the user are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from crm_reference.emulator import access
from crm_reference.emulator.call import Context
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.services.authentication import factor_policy
from crm_reference.emulator.services.authentication.oauth_clients import Client

#: Scopes that OpenID Connect defines, with what they mean to a user.
OPENID: dict[str, str] = {
    "openid": "Know which user you are.",
    "profile": "See your name, language and time zone.",
    "email": "See your e-mail address.",
    "offline_access": "Keep access while you are away, until you take it back.",
}


#: What the platform's own apps alone may ask for: whoever has it decides about consents, passwords and factors of the user.
OWNER_SCOPE = "authentication.self"


def listed(context: Context, /) -> list[str]:
    """Return every scope that the metadata names: those of OpenID, then those of the services."""
    return [*OPENID, *sorted(s for s in context.world.contract.scopes if s not in OPENID)]


def asked(client: Client, scope: str | None, /) -> tuple[str, ...]:
    """Return the scopes of a request in the order in which they were asked for.

    :param scope: The parameter; all of the client's without those of OpenID where it is left out.
    :raises Problem: ``invalid_scope``.
    """
    is_own = bool(client.doc.get("is_first_party"))
    if scope is None:
        return tuple(s for s in client.doc.get("scopes", ()) if s not in OPENID and (is_own or s != OWNER_SCOPE))
    names = tuple(dict.fromkeys(scope.split(" ")))
    for name in names:
        if name == OWNER_SCOPE and not is_own:
            raise Problem("invalid_scope", f"{name} is for apps of the platform alone, where users decide about the others.")
        if name not in client.scopes:
            raise Problem("invalid_scope", f"The client is not registered for {name[:80]}.")
    return names


def of_user(context: Context, user_id: str, /) -> frozenset[str] | None:
    """Return the scopes that a user's roles hold; ``None`` where nothing is known of roles, and none is left out."""
    contract = context.world.contract
    keys: set[str] = set()
    own: set[str] = set()
    are_assigned = context.world.store.has(access.ASSIGNMENTS) and access.people(context).has_assignments
    if are_assigned:
        subject = access.subject_of(context, user_id)
        for doc in (*subject.roles, *subject.sets):
            keys.add(str(doc.get("key", "")))
            own.update(doc.get("scopes", ()))
    else:
        keys.update(p.role for p in contract.principals.values() if p.user == user_id)
        user = context.records.peek("users", user_id)
        if not keys and user is not None:
            keys.add(str(user.doc.get("role", "")))
    by_role = {name for name, scope in contract.scopes.items() if keys.intersection(scope.roles)}
    found = frozenset(by_role | own)
    if found and factor_policy.is_due(context, user_id):
        # A second factor is overdue: the token is good for enrolling one, and for nothing else.
        found &= {factor_policy.ENROLMENT_SCOPE}
    return found | frozenset(OPENID) if found or are_assigned else None


def grantable(context: Context, user_id: str, names: Iterable[str], /) -> tuple[str, ...]:
    """Return those of some scopes that a user can grant, in their order."""
    held = of_user(context, user_id)
    return tuple(n for n in names if held is None or n in held)


def narrowed(granted: Iterable[str], scope: str | None, /) -> tuple[str, ...]:
    """Return the scopes of a renewal: those granted, or fewer.

    :raises Problem: ``invalid_scope`` where more is asked for (RFC 6749, section 6).
    """
    have = tuple(granted)
    if scope is None:
        return have
    names = tuple(dict.fromkeys(scope.split(" ")))
    beyond = [n for n in names if n not in have]
    if beyond:
        raise Problem("invalid_scope", f"{beyond[0][:80]} goes beyond what was granted.")
    return names


def explained(context: Context, names: Iterable[str], granted: Iterable[str], /) -> list[dict[str, Any]]:
    """Return scopes as a consent page shows them.

    :param granted: What the user granted to this client before.
    """
    known, before = context.world.contract.scopes, set(granted)
    return [
        {"name": n, "description": OPENID.get(n) or (known[n].description if n in known else n), "is_granted": n in before}
        for n in names
    ]
