"""What becomes of a quote: submitted, approved or returned, sent, and accepted, rejected or taken back."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.deals.offers import QUOTES, fault
from crm_reference.emulator.services.deals.quotes import EXPIRED, fresh, tell
from crm_reference.emulator.store import Record

#: The page on which a customer reads a quote; the token stands behind the hash sign.
VIEW_PAGE = "https://quotes.crm.example/view#"
#: What the emulator's control API shows as sent.
_MAILS = "outgoing-mails"
_LARGE = "deals.admin"


def hash_of(token: str, /) -> str:
    """Return what is kept of a link's token."""
    return hashlib.sha256(token.encode()).hexdigest()


def _step(call: Call, quote: Record, patch: Mapping[str, Any], event: str) -> Reply:
    changed = call.records.change(quote, patch)
    tell(call, changed, event)
    return single.shown(call, changed)


@handles("submitQuote")
def submit(call: Call) -> Reply:
    """End the draft: approved at once, or waiting for somebody."""
    quote = fresh(call)
    level = quote.doc["required_approval"]
    approval: dict[str, Any] = {"level": level, "requested_at": call.now, "requested_by": call.identity.user or None}
    approval |= {"decision": None, "decided_at": None, "decided_by": None, "comment": call.body.get("comment")}
    if level == "none":
        return _step(call, quote, {"status": "approved", "approval": approval}, "crm.quote.approved.v1")
    return _step(call, quote, {"status": "pending_approval", "approval": approval}, "crm.quote.approval_requested.v1")


@handles("decideQuoteApproval")
def decide(call: Call) -> Reply:
    """Approve a discount, or send the quote back."""
    quote, decision = fresh(call), call.body["decision"]
    if quote.doc["status"] != "pending_approval":
        raise Problem("quote_wrong_status", f"The quote is {quote.doc['status'].replace('_', ' ')} and waits for no approval.")
    approval = quote.doc["approval"]
    if approval.get("requested_by") == call.identity.user:
        raise Problem("own_approval", "Whoever submitted the quote doesn't decide about it.")
    if approval["level"] == "director" and _LARGE not in call.identity.scopes:
        raise Problem("approval_level_too_low", f"This discount takes the scope {_LARGE}.")
    decided = {"decision": decision, "decided_at": call.now, "decided_by": call.identity.user or None}
    decided |= {"comment": call.body["comment"]} if "comment" in call.body else {}
    status = "approved" if decision == "approved" else "draft"
    return _step(call, quote, {"status": status, "approval": decided}, f"crm.quote.{decision}.v1")


@handles("sendQuote")
def send(call: Call) -> Reply:
    """Send the quote with a new link."""
    quote, body = fresh(call), call.body
    token = call.world.secret("quote-view")
    patch = {"status": "sent", "sent_at": call.now, "sent_to_email": body["to_email"].lower(), "_token_hash": hash_of(token)}
    sent = call.records.change(quote, patch)
    call.ask("files", "createFile")
    call.ask("notifications", "sendMessage")
    variables = {"number": sent.doc["number"], "message": body.get("message", ""), "view_url": VIEW_PAGE + token}
    _mail(call, sent.doc["sent_to_email"], variables, body.get("language", "en"))
    tell(call, sent, "crm.quote.sent.v1")
    answer = {"quote": call.records.shown(sent), "view_token": token, "view_url": VIEW_PAGE + token}
    return Reply(200, answer, {"ETag": sent.etag})


def _mail(context: Context, to: str, variables: Mapping[str, str], language: str) -> None:
    """Hand the mail to notifications, which sends it when it can."""
    id = context.new_id("eml")
    mail = {"id": id, "to": to, "template": "quote", "language": language, "variables": dict(variables), "sent_at": context.now}
    context.world.store.put(context.tenant, Record(_MAILS, id, 1, mail))


# -- decided -------------------------------------------------------------------------------------------------------------


def accepted(context: Context, quote: Record, name: str, order_number: str | None, /) -> Record:
    """Write that a quote was accepted.

    :raises Problem: ``quote_already_accepted`` where another one of the deal was; ``quote_wrong_status``.
    """
    others = context.records.find(QUOTES, deal_id=quote.doc["deal_id"], status="accepted")
    if any(other.id != quote.id for other in others):
        raise fault("quote_already_accepted", f"{others[0].doc['number']} of this deal was accepted.")
    demand_sent(quote)
    patch = {"status": "accepted", "closed_at": context.now, "accepted_by_name": name, "purchase_order_number": order_number}
    changed = context.records.change(quote, patch)
    tell(context, changed, "crm.quote.accepted.v1")
    return changed


def rejected(context: Context, quote: Record, reason: str, note: str | None, /) -> Record:
    """Write that a quote was turned down."""
    demand_sent(quote)
    patch = {"status": "rejected", "closed_at": context.now, "rejection_reason": reason, "rejection_note": note}
    changed = context.records.change(quote, patch)
    tell(context, changed, "crm.quote.rejected.v1")
    return changed


def demand_sent(quote: Record, /) -> None:
    """Refuse to decide twice in the same way, which no transition would show.

    :raises Problem: ``quote_wrong_status``.
    """
    if quote.doc["status"] in ("accepted", "rejected", "expired"):
        raise Problem("quote_wrong_status", f"The quote is {quote.doc['status']} already.")


@handles("acceptQuote")
def accept(call: Call) -> Reply:
    """Record that the customer accepted."""
    quote, body = fresh(call), call.body
    return single.shown(call, accepted(call, quote, body["accepted_by_name"], body.get("purchase_order_number")))


@handles("rejectQuote")
def reject(call: Call) -> Reply:
    """Record that the customer turned the quote down."""
    return single.shown(call, rejected(call, fresh(call), call.body["reason"], call.body.get("note")))


@handles("expireQuote")
def expire(call: Call) -> Reply:
    """Take an offer back."""
    quote = fresh(call)
    demand_sent(quote)
    return _step(call, quote, {"status": "expired", "closed_at": call.now, "_token_hash": None}, EXPIRED)
