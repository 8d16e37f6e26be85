"""Consents: what people agreed to, the confirmation of a double opt-in, withdrawal, and the question before each message."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import feeds, listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.refusals import invalid
from crm_reference.emulator.registry import computes, handles, sees
from crm_reference.emulator.services.contacts.selecting import is_seen, seen_contact
from crm_reference.emulator.store import Record
from crm_reference.emulator.tokens import Identity

CONSENTS = "contact-consents"
REQUESTED, GRANTED, WITHDRAWN = (f"crm.contact_consent.{word}.v1" for word in ("requested", "granted", "withdrawn"))

#: How long a double opt-in can be confirmed, and how often a wrong code may come.
CONFIRMATION_DAYS = 7
MAX_TRIES = 5

#: What belongs to one giving of a consent and goes when it is given anew.
_OF_ONE_GIVING = (
    "legal_basis",
    "source",
    "wording",
    "wording_version",
    "granted_at",
    "expires_at",
    "confirmation_expires_at",
    "withdrawn_at",
    "withdrawal_source",
    "is_double_opt_in",
    "_confirmation_code",
    "_tries",
    "_lapsed",
)


@sees(CONSENTS)
def see(context: Context, consent: Record) -> bool:
    """Show a consent to those who may see the person."""
    return is_seen(context, consent.doc["contact_id"])


# -- expiry --------------------------------------------------------------------------------------------------------------------


class _Then(Context):
    """The platform at the instant at which a consent ran out."""

    def __init__(self, context: Context, instant: str) -> None:
        nobody = Identity(context.tenant, "", "", frozenset(), "all", "", 0, {})
        super().__init__(context.world, nobody, context.service)
        self._instant = instant

    @property
    def now(self) -> str:
        """The instant as RFC 3339."""
        return self._instant


def lapse(context: Context, /) -> None:
    """Let consents and requests whose time is over expire, as of the instant at which it was; every reader comes by here."""
    for consent in context.world.store.select(context.tenant, CONSENTS, "doc->>'$.status' in ('granted', 'pending')"):
        pending = consent.doc["status"] == "pending"
        end = consent.doc.get("confirmation_expires_at" if pending else "expires_at")
        if end is not None and end <= context.now:
            _expire(_Then(context, end), consent)


def _expire(context: Context, consent: Record) -> Record:
    patch = {"status": "expired", "confirmation_expires_at": None, "_lapsed": consent.doc["status"]}
    with upkeep(context):
        return context.records.change(consent, patch, action="expired")


def _present(call: Call) -> Record:
    """Return the consent that the path names, as it is now."""
    lapse(call)
    return call.records.get(CONSENTS, call.found.id)


@handles("listContactConsents")
def list_consents(call: Call) -> Reply:
    """List consents as they are now."""
    lapse(call)
    return listing.list_records(call)


@handles("getContactConsent")
def read_consent(call: Call) -> Reply:
    """Return one consent as it is now."""
    call.record = _present(call)
    return single.read(call)


@handles("listContactConsentHistory")
def list_history(call: Call) -> Reply:
    """Return everything that happened with a consent."""
    call.record = _present(call)
    return feeds.history(call)


# -- giving and taking back ----------------------------------------------------------------------------------------------------


def _hashed(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()


def _given(call: Call) -> dict[str, Any]:
    """Return the members of a consent that follow from the body: granted at once, or pending until it is confirmed.

    :raises Problem: ``validation_failed`` where times or the code don't fit.
    """
    body = {k: v for k, v in call.body.items() if k != "confirmation_code"}
    code, double = call.body.get("confirmation_code"), call.body.get("is_double_opt_in", False)
    if body.get("granted_at", "") > call.now:
        raise invalid("#/granted_at", "invalid_value", "must not lie in the future")
    if double and "granted_at" in body:
        raise invalid("#/granted_at", "invalid_value", "is set by the confirmation of a double opt-in")
    if code is not None and not double:
        raise invalid("#/confirmation_code", "invalid_value", "is for a double opt-in only")
    if not double:
        return {**body, "is_double_opt_in": False, "status": "granted", "granted_at": body.get("granted_at", call.now)}
    secret = {"_confirmation_code": _hashed(code)} if code else {}
    return {**body, **secret, "status": "pending", "confirmation_expires_at": days_later(call.now, CONFIRMATION_DAYS), "_tries": 0}


@handles("recordContactConsent")
def record_consent(call: Call) -> Reply:
    """Record a consent, or give one that was withdrawn or ran out anew under its ID."""
    lapse(call)
    doc = _given(call)
    key = {name: call.body[name] for name in ("contact_id", "channel", "purpose")}
    present = next(iter(call.records.find(CONSENTS, **key)), None)
    action, event = ("requested", REQUESTED) if doc["status"] == "pending" else ("granted", GRANTED)
    if present is not None and present.doc["status"] in ("withdrawn", "expired") and seen_contact(call, key["contact_id"]):
        kept = {k: v for k, v in present.doc.items() if k not in _OF_ONE_GIVING}
        consent = call.records.replace(present, {**kept, **doc}, action=action)
    else:
        consent = call.records.create(CONSENTS, doc, action=action)
    call.emit(event, consent.id, {"record": call.records.public(consent)})
    if present is not None:
        return single.shown(call, consent)
    return single.shown(call, consent, 201, Location=f"/v1/contact-consents/{consent.id}")


@handles("confirmContactConsent")
def confirm(call: Call) -> Reply:
    """Grant a pending consent by its code; the fifth wrong one ends the request."""
    consent = _present(call)
    if consent.doc["status"] == "expired" and consent.doc.get("_lapsed") == "pending":
        raise Problem("confirmation_expired", "The request ran out, or too many wrong codes came. Ask for consent anew.")
    if consent.doc["status"] != "pending":
        raise Problem("consent_not_pending", f"The consent is {consent.doc['status']}.")
    if not hmac.compare_digest(consent.doc["_confirmation_code"], _hashed(call.body["confirmation_code"])):
        tries = consent.doc["_tries"] + 1
        noted = call.records.note(consent, _tries=tries)
        if tries >= MAX_TRIES:
            _expire(_Then(call, call.now), noted)
        entry = {"pointer": "#/confirmation_code", "code": "confirmation_code_wrong", "detail": "is not the code that was recorded"}
        # The count of wrong codes stays although the answer is an error: guessing must come to an end.
        raise Problem("confirmation_code_wrong", f"Wrong code {tries} of {MAX_TRIES}.", [entry], commits=True)
    patch = {"status": "granted", "granted_at": call.now, "confirmation_expires_at": None}
    granted = call.records.change(consent, patch, action="granted")
    call.emit(GRANTED, granted.id, {"record": call.records.public(granted)})
    return single.shown(call, granted)


@handles("withdrawContactConsent")
def withdraw(call: Call) -> Reply:
    """End a consent at once."""
    consent = _present(call)
    instant = call.body.get("withdrawn_at", call.now)
    if instant > call.now:
        raise invalid("#/withdrawn_at", "invalid_value", "must not lie in the future")
    if instant < consent.doc.get("granted_at", instant):
        raise invalid("#/withdrawn_at", "invalid_value", f"must not lie before the grant at {consent.doc['granted_at']}")
    if consent.doc["status"] not in ("granted", "pending"):
        raise Problem("consent_not_active", f"The consent is {consent.doc['status']}.")
    patch = {
        "status": "withdrawn",
        "withdrawn_at": instant,
        "withdrawal_source": call.body["source"],
        "confirmation_expires_at": None,
    }
    withdrawn = call.records.change(consent, patch, action="withdrawn")
    call.emit(WITHDRAWN, withdrawn.id, {"record": call.records.public(withdrawn)})
    return single.shown(call, withdrawn)


# -- the question before each message ------------------------------------------------------------------------------------------


@handles("checkContactConsents")
def check(call: Call) -> Reply:
    """Decide for each person whether a channel may be used for a purpose."""
    lapse(call)
    channel, purpose = call.body["channel"], call.body["purpose"]
    return Reply(200, {"decisions": [_decision(call, id, channel, purpose) for id in call.body["contact_ids"]]})


def _decision(call: Call, id: str, channel: str, purpose: str) -> dict[str, Any]:
    contact = seen_contact(call, id)
    if contact is None:
        return {"contact_id": id, "is_allowed": False, "reason": "unknown_contact"}
    consent = next(iter(call.records.find(CONSENTS, contact_id=id, channel=channel, purpose=purpose)), None)
    decided = decide({"contact": contact.doc, "consent": consent.doc if consent is not None else None, "now": call.now})
    return {"contact_id": id, **decided} | ({"consent_id": consent.id} if consent is not None else {})


@computes("consent_decision")
def decide(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Decide whether a person may be reached: restriction and ban first, then the consent as it is now.

    :param asked: ``contact`` with its marks, or ``null`` for an unknown one; ``consent`` for the channel and purpose, or ``null``;
        and ``now``.
    :return: ``is_allowed`` and ``reason``.
    """
    contact, consent, now = asked["contact"], asked["consent"], asked["now"]
    if contact is None:
        reason = "unknown_contact"
    elif contact.get("is_processing_restricted"):
        reason = "processing_restricted"
    elif contact.get("is_do_not_contact"):
        reason = "do_not_contact"
    elif consent is None:
        reason = "no_consent"
    else:
        end = {"granted": "expires_at", "pending": "confirmation_expires_at"}.get(consent["status"], "")
        reason = "expired" if end and consent.get(end, "9") <= now else consent["status"]
    return {"is_allowed": reason == "granted", "reason": reason}
