"""Capture forms: their rules, publication with versions, copies, embedding and figures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from crm_reference.emulator import custom_fields
from crm_reference.emulator.behaviours.single import shown
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, guards, handles
from crm_reference.emulator.services.leads.judging import TARGETS, mapped, repeated_key
from crm_reference.emulator.store import Record

FORMS, VERSIONS, SUBMISSIONS, TICKETS = "lead-forms", "lead-form-versions", "lead-submissions", "lead-form-tickets"
#: What a version freezes.
FROZEN = (
    *("title", "introduction", "language", "fields", "consents", "success_message", "redirect_url"),
    *("is_proof_demanded", "is_double_opt_in"),
)
_SCRIPT = b"(()=>{/* draws the published form into its element */})();\n"
_LONGEST_DAYS = 366

Doc = Mapping[str, Any]


@derives(FORMS)
def follow(context: Context | None, doc: Doc) -> Doc:
    """Derive the state of a new form, who gets its leads, and whether visitors see something else."""
    version = doc.get("_published", {})
    return {
        "status": doc.get("status", "draft"),
        "lead_owner_id": doc.get("lead_owner_id") or doc.get("created_by") or (context.identity.user if context else None),
        "has_unpublished_changes": bool(version) and frozen(doc) != version,
    }


def frozen(doc: Doc, /) -> dict[str, Any]:
    """Return what visitors would see of a draft."""
    return {name: doc[name] for name in FROZEN if doc.get(name) is not None}


@enforces("lead_form_keys_differ")
def keys_differ(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Find the first key that stands twice."""
    place = repeated_key(new)
    return ("This key stands twice in the form.", place) if place else ""


@enforces("lead_form_targets_known")
def targets_known(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Find the first question that is mapped to nothing that takes an answer, or to what another one is mapped to."""
    customs = custom_fields.definitions(context, "lead")
    taken: set[str] = set()
    for index, field in enumerate(new.get("fields", ())):
        target = field.get("maps_to")
        if target is None:
            continue
        if target not in TARGETS and target.removeprefix("custom_fields.") not in customs:
            return f"Leads have no field {target} that a form can fill.", f"fields.{index}.maps_to"
        if target in taken:
            return f"Another question is mapped to {target}.", f"fields.{index}.maps_to"
        taken.add(target)
    return ""


@enforces("lead_form_asks_who")
def asks_who(context: Context, new: Doc, old: Doc | None) -> str:
    """Look for a question that tells who somebody is."""
    known = any(mapped(new.get("fields", ()), target) for target in ("last_name", "company_name", "email"))
    return "" if known else "Map a question to last_name, company_name or email."


@enforces("lead_form_opt_in_has_address")
def opt_in_has_address(context: Context, new: Doc, old: Doc | None) -> str:
    """Look for the address to which the link is sent."""
    question = mapped(new.get("fields", ()), "email")
    asks = question is not None and question.get("is_required")
    return "" if asks or not new.get("is_double_opt_in") else "Ask for the e-mail address by a required question."


@guards(FORMS)
def keep_published(context: Context, form: Record) -> None:
    """Keep a form that stands on the web."""
    if form.doc["status"] == "published":
        raise Problem("lead_form_in_use", f"{form.doc['name']} is published. Close it first.")


# -- publication ---------------------------------------------------------------------------------------------------------------


@handles("publishLeadForm")
def publish(call: Call) -> Reply:
    """Freeze the draft as the version that visitors see."""
    form = call.found
    seen = frozen(form.doc)
    if form.doc["status"] == "published" and form.doc.get("_published") == seen:
        raise Problem(
            "lead_form_unchanged", f"Visitors see all of version {form.doc['published_version']}; nothing has changed since."
        )
    number = form.doc.get("published_version", 0) + 1
    body = {"form_id": form.id, "number": number, **(call.body or {}), "definition": seen}
    version = call.records.create(VERSIONS, body)
    patch = {"status": "published", "published_version": number, "published_at": call.now, "_published": seen}
    changed = call.records.change(form, patch)
    told = {"record": call.records.public(changed), "published": call.records.public(version)}
    call.emit("crm.lead_form.published.v1", form.id, told)
    return shown(call, version, 201, Location=f"/v1/lead-forms/{form.id}/versions/{version.id}")


@handles("closeLeadForm")
def close(call: Call) -> Reply:
    """Take a form off the web."""
    if call.found.doc["status"] != "published":
        raise Problem("lead_form_not_published", f"{call.found.doc['name']} is {call.found.doc['status']}.")
    changed = call.records.change(call.found, {"status": "closed"})
    call.emit("crm.lead_form.closed.v1", changed.id, {"record": call.records.public(changed)})
    return shown(call, changed)


@handles("cloneLeadForm")
def clone(call: Call) -> Reply:
    """Make a draft with what a form has."""
    settable = call.world.contract.schemas["LeadFormCreate"].node.get("properties", {})
    body = {name: call.found.doc[name] for name in settable if name in call.found.doc} | dict(call.body)
    copy = call.records.create(FORMS, body, event="crm.lead_form.created.v1")
    return shown(call, copy, 201, Location=f"/v1/lead-forms/{copy.id}")


@handles("getLeadFormEmbed")
def embed(call: Call) -> Reply:
    """Return the HTML that shows a form."""
    form = call.found
    if form.doc["status"] != "published":
        raise Problem("lead_form_not_published", f"{form.doc['name']} is {form.doc['status']}.")
    script = "https://static.crm.example/lead-forms/1/embed.js"
    digest = "sha256-" + base64.b64encode(hashlib.sha256(_SCRIPT).digest()).decode()
    element = f'<div data-crm-form="{form.id}"></div>'
    html = f'{element}\n<script src="{script}" integrity="{digest}" crossorigin="anonymous" defer></script>'
    url = f"{call.world.site}/v1/lead-forms/{form.id}/published"
    body = {"form_id": form.id, "html": html, "form_url": url, "script_url": script, "script_digest": digest}
    return Reply(200, body | {"allowed_origins": form.doc.get("allowed_origins", [])})


# -- figures -------------------------------------------------------------------------------------------------------------------


@computes("lead_form_acceptance")
def acceptance(asked: Doc) -> str | None:
    """Return accepted submissions in percent of all, half up to one decimal; nothing where there are none."""
    if not asked["submission_count"]:
        return None
    share = Decimal(100) * asked["accepted_count"] / asked["submission_count"]
    return format(share.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP), "f")


@handles("getLeadFormFigures")
def figures(call: Call) -> Reply:
    """Count what came by a form within some days."""
    last = call.query.get("to_on") or call.now[:10]
    first = call.query.get("from_on") or days_later(f"{last}T00:00:00Z", -30)[:10]
    if first > last or days_later(f"{first}T00:00:00Z", _LONGEST_DAYS)[:10] < last:
        entry = {"parameter": "from_on", "in": "query", "code": "out_of_range", "detail": "must be up to a year before to_on"}
        raise Problem("malformed_parameter", "The days don't make a span of up to a year.", [entry])
    where = "doc->>'$.form_id' = ? and substr(doc->>'$.created_at', 1, 10) between ? and ?"
    span = (call.found.id, first, last)
    sent = call.world.store.select(call.tenant, SUBMISSIONS, where, span)
    count = {
        name: sum(1 for s in sent if s.doc["status"] == name)
        for name in ("accepted", "in_review", "pending_confirmation", "rejected")
    }
    days: dict[str, int] = {}
    for submission in sent:
        day = submission.doc["created_at"][:10]
        days[day] = days.get(day, 0) + 1
    body = {
        "form_id": call.found.id,
        "from_on": first,
        "to_on": last,
        "ticket_count": call.world.store.count(call.tenant, TICKETS, where, span),
        "submission_count": len(sent),
        "accepted_count": count["accepted"],
        "in_review_count": count["in_review"],
        "pending_count": count["pending_confirmation"],
        "rejected_count": count["rejected"],
        "new_lead_count": sum(1 for s in sent if s.doc.get("is_new_lead")),
        "days": [{"day_on": day, "submission_count": days[day]} for day in sorted(days)],
    }
    percent = acceptance(body)
    return Reply(200, body | ({"acceptance_percent": percent} if percent else {}))
