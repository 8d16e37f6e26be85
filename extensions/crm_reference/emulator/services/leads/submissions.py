"""What visitors send: tickets, the judgement, leads that come of it, confirmation and review. Visitors have no token."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later, iso, seconds_of
from crm_reference.emulator.holders import upkeep
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.registry import computes, handles, hosts
from crm_reference.emulator.services.leads import judging
from crm_reference.emulator.services.leads.common import CREATED, LEADS, OPEN_STATUSES, UPDATED, check_owner, refused
from crm_reference.emulator.services.leads.forms import FORMS, SUBMISSIONS, TICKETS, VERSIONS
from crm_reference.emulator.sql import folded
from crm_reference.emulator.store import Record

RECEIVED, REJECTED = "crm.lead_submission.received.v1", "crm.lead_submission.rejected.v1"
PUZZLE_BITS = 12
TICKET_SECONDS = 3600
CONFIRMATION_DAYS = 7
_THANKS = "Thank you. We have received your message."

Doc = Mapping[str, Any]


def _tenant_of_form(call: Call) -> str:
    """Return the tenant to which the form of the path belongs; none has a form that isn't there."""
    store = call.world.store
    if not store.has(FORMS):
        return ""
    return next((t for t in store.tenants(FORMS) if store.get(t, FORMS, call.path["form_id"]) is not None), "")


for _operation in ("getPublishedLeadForm", "createLeadFormTicket", "submitLeadForm"):
    hosts(_operation)(_tenant_of_form)


def _is_open(call: Call, form: Record) -> bool:
    return bool(form.doc["status"] == "published" and form.doc.get("closes_at", call.now) >= call.now)


def _demand_open(call: Call) -> Record:
    if not _is_open(call, call.found):
        raise Problem("lead_form_not_published", "The form takes no submissions.")
    return call.found


@handles("getPublishedLeadForm")
def read_published(call: Call) -> Reply:
    """Return what visitors see."""
    form = call.found
    if not _is_open(call, form):
        raise Problem("not_found", f"No lead form has the ID {form.id}.")
    etag = f'"v{form.doc["published_version"]}"'
    if call.headers.get("If-None-Match") in (etag, "*"):
        return Reply(304, None, {"ETag": etag})
    body = {"form_id": form.id, "number": form.doc["published_version"], "definition": form.doc["_published"]}
    return Reply(200, body | {"honeypot_key": judging.HONEYPOT}, {"ETag": etag})


# -- tickets -------------------------------------------------------------------------------------------------------------------


@computes("lead_puzzle_solved")
def is_solved(asked: Doc) -> bool:
    """Tell whether a number solves a ticket's puzzle.

    :param asked: ``ticket``, ``solution`` in decimal digits, and ``difficulty_bits``.
    """
    digest = hashlib.sha256(f"{asked['ticket']}:{asked['solution']}".encode()).digest()
    return int.from_bytes(digest) >> (256 - int(asked["difficulty_bits"])) == 0


@handles("createLeadFormTicket")
def create_ticket(call: Call) -> Reply:
    """Give out a ticket for one submission."""
    form = _demand_open(call)
    ticket = call.world.secret("lead-form-ticket", 16)
    ends = iso(call.world.clock.time() + TICKET_SECONDS)
    doc = {"id": ticket, "form_id": form.id, "created_at": call.now, "expires_at": ends}
    call.world.store.put(call.tenant, Record(TICKETS, ticket, 1, doc))
    body = {"ticket": ticket, "algorithm": "sha256", "difficulty_bits": PUZZLE_BITS, "expires_at": ends}
    return Reply(201, body, {"Cache-Control": "no-store"})


def _use_ticket(call: Call, form: Record) -> int | None:
    """Use a ticket up and return how many seconds the visitor took; ``None`` without one.

    :raises Problem: ``lead_ticket_stale`` or ``lead_proof_wrong``.
    """
    ticket = call.body.get("ticket", "")
    known = call.world.store.get(call.tenant, TICKETS, ticket) if ticket else None
    if ticket and (
        known is None or known.doc.get("_used") or known.doc["form_id"] != form.id or known.doc["expires_at"] <= call.now
    ):
        raise refused("lead_ticket_stale", "Get a new ticket.", "#/ticket")
    if form.doc["_published"].get("is_proof_demanded"):
        proof = {"ticket": ticket, "solution": call.body.get("solution", ""), "difficulty_bits": PUZZLE_BITS}
        if known is None or not proof["solution"] or not is_solved(proof):
            raise refused("lead_proof_wrong", f"The hash must have {PUZZLE_BITS} leading zero bits.", "#/solution")
    if known is None:
        return None
    call.world.store.put(call.tenant, replace(known, doc={**known.doc, "_used": True}))
    return seconds_of(call.now) - seconds_of(known.doc["created_at"])


# -- submitting ----------------------------------------------------------------------------------------------------------------


@handles("submitLeadForm")
def submit(call: Call) -> Reply:
    """Take a visitor's answers; what becomes of them can't be told from the answer."""
    form, body = _demand_open(call), call.body
    origins = form.doc.get("allowed_origins")
    if origins and call.headers.get("origin") not in origins:
        raise Problem("lead_form_origin_refused", "The form doesn't stand on this site.")
    definition = form.doc["_published"]
    seconds = _use_ticket(call, form)
    lead = judged_lead(call, form, definition, body)
    verdict, score, duplicate = weigh(call, form, definition, body, seconds, lead.get("email", ""))
    answers = {v["key"]: v["value"] for v in body["values"]}
    doc: dict[str, Any] = {
        "form_id": form.id,
        "form_version": form.doc["published_version"],
        "created_by": form.doc["created_by"],
        "status": verdict,
        "answers": [
            {"key": f["key"], "label": f["label"], "value": answers[f["key"]]} for f in definition["fields"] if f["key"] in answers
        ],
        "consents": _consents(definition, body, call.now),
        "email": lead.get("email"),
        "spam_score": score["score"],
        "spam_signals": score["signals"],
        "seconds_to_fill": seconds,
        "address_hint": call.request.address.rpartition(".")[0] + ".0",
        **{name: body[name] for name in ("page_url", "utm") if name in body},
        "_lead": lead,
    }
    if verdict == "rejected":
        doc["rejection_reason"] = "spam_score"
    submission = call.records.create(SUBMISSIONS, {k: v for k, v in doc.items() if v is not None})
    if verdict == "accepted":
        submission = _accept(call, submission, form, duplicate)
    elif verdict == "pending_confirmation":
        submission = _send_link(call, submission)
    elif verdict == "rejected":
        call.emit(REJECTED, submission.id, {"record": call.records.public(submission)})
    return Reply(200, _receipt(submission.id, definition, confirms=bool(definition.get("is_double_opt_in"))))


def _receipt(id: str, definition: Doc, /, *, confirms: bool) -> dict[str, Any]:
    body = {"submission_id": id, "outcome": "confirmation_sent" if confirms else "received"}
    body["message"] = definition.get("success_message", _THANKS)
    return body | ({"redirect_url": definition["redirect_url"]} if "redirect_url" in definition else {})


def _consents(definition: Doc, body: Doc, now: str) -> list[dict[str, Any]]:
    given = {c["key"] for c in body.get("consents", ()) if c["is_given"]}
    asked = definition.get("consents", ())
    return [{"key": c["key"], "text": c["text"], "is_given": c["key"] in given, "decided_at": now} for c in asked]


def judged_lead(context: Context, form: Record, definition: Doc, body: Doc, /) -> dict[str, Any]:
    """Return the lead that answers make.

    :raises Problem: ``validation_failed`` with every answer that can't be taken.
    """
    wrong = judging.check_answers(definition, body)
    lead: dict[str, Any] = {}
    if not wrong:
        lead = _lead(form, definition, body)
        found = context.world.validators.errors(context.world.contract.schemas["LeadCreate"].node, lead)
        wrong = [_at_answer(definition, body, error.as_dict()) for error in found]
    if wrong:
        raise Problem("validation_failed", f"{counted(len(wrong), 'answer')} can't be taken; see errors.", wrong)
    return lead


def _lead(form: Record, definition: Doc, body: Doc) -> dict[str, Any]:
    base = {"source": form.doc["source"], "source_detail": form.doc.get("source_detail"), "tags": form.doc.get("lead_tags")}
    base |= {"language": definition.get("language"), "owner_id": form.doc.get("lead_owner_id")}
    values = {v["key"]: v["value"] for v in body["values"]}
    return dict(judging.lead_of_answers({"fields": definition["fields"], "values": values, "base": base}))


def _at_answer(definition: Doc, body: Doc, error: dict[str, str]) -> dict[str, str]:
    """Return what is wrong with a lead's member as wrong with the answer from which it came."""
    path = error["pointer"].removeprefix("#/").replace("/", ".")
    field = next((f for f in definition["fields"] if (f.get("maps_to") or "-") in (path, path.rpartition(".")[0])), None)
    index = next((i for i, v in enumerate(body["values"]) if field is not None and v["key"] == field["key"]), None)
    return {**error, "code": judging.REFUSED, "pointer": "#/values" if index is None else f"#/values/{index}/value"}


def weigh(
    context: Context, form: Record, definition: Doc, body: Doc, seconds: int | None, email: str, /
) -> tuple[str, dict[str, Any], Record | None]:
    """Return what becomes of answers, their spam score, and the open lead with the same address."""
    fields = {f["key"]: f for f in definition["fields"]}
    answers = [{**fields[v["key"]], "value": v["value"]} for v in body["values"] if v["key"] in fields]
    honeypot = next((v["value"] for v in body["values"] if v["key"] == judging.HONEYPOT), "")
    hour_ago = iso(context.world.clock.time() - 3600)
    sent = context.world.store.find(context.tenant, SUBMISSIONS, email=email) if email else []
    asked: dict[str, Any] = {
        "answers": answers,
        "honeypot": honeypot,
        "recent_count": sum(1 for s in sent if s.doc["created_at"] > hour_ago),
    }
    if seconds is not None:
        asked["seconds_to_fill"] = seconds
    score = judging.spam_score(asked)
    duplicate = open_lead(context, email)
    said = {name: form.doc[name] for name in ("review_from", "reject_from", "duplicate_policy")}
    said |= {
        "score": score["score"],
        "is_double_opt_in": definition.get("is_double_opt_in", False),
        "has_duplicate": duplicate is not None,
    }
    return judging.verdict(said), score, duplicate


def open_lead(context: Context, email: str, /) -> Record | None:
    """Return the oldest open lead with an address."""
    if not email:
        return None
    found = context.world.store.select(context.tenant, LEADS, f"{folded('email')} = ?", [email.lower()])
    return next((lead for lead in found if lead.doc["status"] in OPEN_STATUSES), None)


# -- accepting -----------------------------------------------------------------------------------------------------------------


def _accept(context: Context, submission: Record, form: Record, duplicate: Record | None, /, **members: Any) -> Record:
    """Make or fill the lead of a submission, and tell of both."""
    body = dict(submission.doc["_lead"]) | {k: members.pop(k) for k in ("owner_id",) if k in members}
    body |= {"form_id": form.id, "submission_id": submission.id}
    consent = _consent(submission, form, is_confirmed="confirmed_at" in {**submission.doc, **members})
    fills = duplicate is not None and form.doc["duplicate_policy"] != "create"
    if duplicate is not None and fills:
        patch = judging.fill_empty(duplicate.doc, {k: v for k, v in body.items() if k != "owner_id"})
        patch |= {"submission_id": submission.id, "submission_count": duplicate.doc.get("submission_count", 0) + 1}
        if consent and not (consent == "pending" and duplicate.doc.get("email_consent") == "granted"):
            patch |= {"email_consent": consent, "email_consent_at": context.now}
        with upkeep(context):
            lead = context.records.change(duplicate, patch, event=UPDATED, action="captured")
    else:
        if consent:
            body |= {"email_consent": consent, "email_consent_at": context.now}
        with nullcontext() if context.identity.user else upkeep(context):
            lead = context.records.create(LEADS, body | {"submission_count": 1}, event=CREATED)
    told = {"status": "accepted", "lead_id": lead.id, "is_new_lead": not fills, "rejection_reason": None, **members}
    accepted = context.records.change(submission, told)
    context.emit(RECEIVED, accepted.id, {"record": context.records.public(accepted), "lead_id": lead.id})
    return accepted


def _consent(submission: Record, form: Record, /, *, is_confirmed: bool) -> str:
    """Return the state of consent that a submission brings; empty where it agrees to no mails."""
    definition = form.doc["_published"]
    mails = {c["key"] for c in definition.get("consents", ()) if c.get("has_email_marketing")}
    if not any(c["is_given"] and c["key"] in mails for c in submission.doc["consents"]):
        return ""
    return "granted" if is_confirmed or not definition.get("is_double_opt_in") else "pending"


def _send_link(context: Context, submission: Record) -> Record:
    """Have a mail with a new link sent; the former link holds no more."""
    token = context.world.secret("lead-confirmation", 24)
    context.ask("notifications", "sendMessage")
    patch = {"confirmation_due_at": days_later(context.now, CONFIRMATION_DAYS)}
    changed = context.records.change(submission, patch)
    return context.records.note(changed, _token=hashlib.sha256(token.encode()).hexdigest())


@handles("confirmLeadSubmission")
def confirm(call: Call) -> Reply:
    """Make the lead of a submission whose visitor followed the link."""
    digest = hashlib.sha256(call.body["token"].encode()).hexdigest()
    for tenant in call.world.store.tenants(SUBMISSIONS) if call.world.store.has(SUBMISSIONS) else ():
        context = Context(call.world, replace(call.identity, tenant=tenant), call.service)
        for submission in call.world.store.find(tenant, SUBMISSIONS, status="pending_confirmation"):
            if hmac.compare_digest(submission.doc.get("_token", ""), digest) and submission.doc["confirmation_due_at"] > call.now:
                form = _form(context, submission)
                duplicate = open_lead(context, submission.doc.get("email", ""))
                accepted = _accept(context, submission, form, duplicate, confirmed_at=call.now)
                return Reply(200, _receipt(accepted.id, form.doc["_published"], confirms=False))
    raise Problem("lead_confirmation_stale", "The link was used, replaced or is too old.")


def _form(context: Context, submission: Record) -> Record:
    """Return the form of a submission, deleted or not, as its visitor saw it."""
    form = context.world.store.get(context.tenant, FORMS, submission.doc["form_id"], deleted=True)
    if form is None:
        raise Problem("not_found", "The form of the submission is gone.")
    seen = context.world.store.find(context.tenant, VERSIONS, form_id=form.id, number=submission.doc["form_version"])
    return replace(form, doc={**form.doc, "_published": seen[0].doc["definition"]}) if seen else form


# -- review --------------------------------------------------------------------------------------------------------------------


def _reviewed(call: Call) -> dict[str, Any]:
    note = (call.body or {}).get("note")
    return {"reviewed_by": call.identity.user, "reviewed_at": call.now} | ({"review_note": note} if note else {})


@handles("acceptLeadSubmission")
def accept(call: Call) -> Reply:
    """Make or fill a lead although the score spoke against it."""
    submission, owner = call.found, (call.body or {}).get("owner_id")
    if submission.doc["status"] not in ("in_review", "rejected"):
        raise Problem("lead_submission_settled", f"The submission is {submission.doc['status'].replace('_', ' ')}.")
    if owner:
        check_owner(call, owner, "#/owner_id")
    duplicate = open_lead(call, submission.doc.get("email", ""))
    members = _reviewed(call) | ({"owner_id": owner} if owner else {})
    return shown(call, _accept(call, submission, _form(call, submission), duplicate, **members))


@handles("rejectLeadSubmission")
def reject(call: Call) -> Reply:
    """Close a submission that waits."""
    submission = call.found
    if submission.doc["status"] not in ("in_review", "pending_confirmation"):
        raise Problem("lead_submission_settled", f"The submission is {submission.doc['status']}.")
    patch = {"status": "rejected", "rejection_reason": call.body["reason"], **_reviewed(call)}
    changed = call.records.change(submission, patch)
    call.emit(REJECTED, changed.id, {"record": call.records.public(changed)})
    return shown(call, changed)


@handles("resendLeadConfirmation")
def resend(call: Call) -> Reply:
    """Send the visitor another link."""
    if call.found.doc["status"] != "pending_confirmation":
        raise Problem("lead_submission_not_pending", f"The submission is {call.found.doc['status'].replace('_', ' ')}.")
    return shown(call, _send_link(call, call.found))


@handles("tryLeadForm")
def try_form(call: Call) -> Reply:
    """Judge answers by the draft, and keep nothing."""
    form, body = call.found, dict(call.body)
    definition = {k: v for k, v in form.doc.items() if not k.startswith("_")}
    if body.get("honeypot"):
        body["values"] = [*body["values"], {"key": judging.HONEYPOT, "value": body["honeypot"]}]
    answer: dict[str, Any] = {"errors": []}
    lead: dict[str, Any] = {}
    try:
        lead = judged_lead(call, form, definition, body)
    except Problem as problem:
        answer["errors"] = [dict(entry) for entry in problem.errors]
    verdict, score, duplicate = weigh(call, form, definition, body, body.get("seconds_to_fill"), lead.get("email", ""))
    answer["lead_fields"] = [{"field": name, "value": value} for name, value in lead.items()]
    if lead:
        answer["status"] = verdict
    if duplicate is not None and call.records.visible(duplicate):
        answer["duplicate_lead_id"] = duplicate.id
    return Reply(200, answer | {"spam_score": score["score"], "spam_signals": score["signals"]})
