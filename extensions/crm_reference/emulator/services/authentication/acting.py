"""What accounts, sign-ins and sessions share: a context of a tenant, hashes of secrets, hints of addresses, mails.

Whoever registers, signs in or resets a password has no token. What such a person begins is kept under :data:`NOBODY`, the tenant
of those whose tenant isn't known yet; once it is known, :func:`acting` gives the context to go on in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Context, World
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity

SERVICE = "authentication"
#: The tenant under which things stand that belong to no tenant yet.
NOBODY = ""
#: Collection of what would go out by mail; no operation shows it.
MAILS = "outgoing-mails"
#: Header of every answer that has a secret in it.
NO_STORE = {"Cache-Control": "no-store"}


def acting(world: World, tenant: str, /, user: str = "") -> Context:
    """Return a context of a tenant, at work in this service.

    :param user: On whose behalf; empty where the platform acts by itself.
    """
    return Context(world, Identity(tenant, user, "", frozenset(), "all", "", 0, {}), SERVICE)


def hashed(secret: str, /) -> str:
    """Return the SHA-256 of a random secret as hexadecimal digits, which is all that is kept of it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_same(secret: str, kept: str, /) -> bool:
    """Tell in constant time whether a secret is the one whose hash was kept."""
    return hmac.compare_digest(hashed(secret), kept)


@computes("mail_hint")
def mail_hint(address: str, /) -> str:
    """Return an address with all of its name hidden but the first letter.

    >>> mail_hint("maya.okafor@brightwater.example")
    'm***@brightwater.example'
    """
    name, _, domain = address.partition("@")
    return f"{name[:1]}***@{domain}"


def refused(code: str, pointer: str, detail: str, /, *, commits: bool = False) -> Problem:
    """Return a problem with a code of its own that blames one member.

    :param pointer: The member, as ``#/new_password``.
    :param commits: Whether what was counted stays.
    """
    return Problem(code, detail, [{"pointer": pointer, "code": code, "detail": detail}], commits=commits)


def send_mail(context: Context, to: str, template: str, /, **variables: Any) -> None:
    """Hand a mail to notifications, which sends it when it can; this service never waits for it.

    :param template: Name of the template there: ``registration_code``.
    :param variables: What the template is filled with, secrets included: the mail is the only place where they stand.
    """
    context.ask("notifications", "sendMessage")
    mail = {"to": to, "template": template, "variables": variables, "sent_at": context.now}
    id = context.new_id("eml")
    context.world.store.put(context.tenant, Record(MAILS, id, 1, {"id": id, **mail}))


def keep(world: World, collection: str, doc: Mapping[str, Any], /) -> Record:
    """Write something that belongs to no tenant, and return it."""
    record = Record(collection, doc["id"], 1, dict(doc))
    world.store.put(NOBODY, record)
    return record


def kept(world: World, collection: str, id: str, /) -> Record | None:
    """Return something that belongs to no tenant."""
    return world.store.get(NOBODY, collection, id)


def shown(record: Record, /) -> dict[str, Any]:
    """Return a record of nobody's tenant as its reader sees it: without hidden members."""
    return {k: v for k, v in record.doc.items() if not k.startswith("_") and v is not None}
