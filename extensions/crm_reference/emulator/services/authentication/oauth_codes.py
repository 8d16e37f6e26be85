"""Codes, and the addresses by which they reach their clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from crm_reference.emulator.call import Context
from crm_reference.emulator.services.authentication import oauth_kept as kept
from crm_reference.emulator.services.authentication.issuing import Sign
from crm_reference.emulator.services.authentication.oauth_clients import Client
from crm_reference.emulator.store import Record

#: Seconds that a code holds.
LIFETIME = 60


def new_code(
    context: Context, client: Client, asked: Mapping[str, Any], scopes: tuple[str, ...], grant: Record, sign: Sign, /
) -> str:
    """Return a code for what the context's user granted; it holds for 60 seconds and once."""
    members = {
        "client_id": client.id,
        "user_id": context.identity.user,
        "grant_id": grant.id,
        "scopes": list(scopes),
        "redirect_uri": asked.get("redirect_uri", ""),
        "is_redirect_sent": "redirect_uri" in asked,
        "challenge": asked["code_challenge"],
        "nonce": asked.get("nonce", ""),
        "sign": sign.members(),
        "ends": kept.epoch(context) + LIFETIME,
    }
    return kept.make(context, kept.CODES, "authorization-code", members)


def address(site: str, redirect: str, asked: Mapping[str, Any], /, **answer: str) -> str:
    """Return a redirect with an answer in its query, with ``state`` and ``iss`` (RFC 9207)."""
    members = {**answer, **({"state": str(asked["state"])} if "state" in asked else {}), "iss": site}
    return f"{redirect}{'&' if urlsplit(redirect).query else '?'}{urlencode(members)}"
