"""Access reviews: who holds a role, who decides whether that is still right, and what goes in the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.clock import seconds_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import derives, enforces, handles, hears
from crm_reference.emulator.services.security.people import assignments, is_role, manager_of
from crm_reference.emulator.store import Record

REVIEWS = "access-reviews"
ITEMS = "access-review-items"
#: Seconds between two reminders of one review.
REMIND_AGAIN_SECONDS = 3600

_LAST_ADMINISTRATOR = "The last administrator stays."
_DEACTIVATED = "The user was deactivated."


@derives(REVIEWS)
def follow(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Begin a review open and with nothing counted."""
    return {"status": doc.get("status", "open"), **{n: doc.get(n, 0) for n in ("item_count", "decided_count", "revoked_count")}}


@enforces("review_roles_exist")
def roles_exist(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> tuple[str, str] | str:
    """Find the first role that the tenant doesn't have."""
    for i, role in enumerate(new["role_ids"] if old is None else ()):
        if not is_role(context, role):
            return "No role has this ID.", f"role_ids.{i}"
    return ""


@enforces("review_due_ahead")
def due_ahead(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a review that is due when it starts."""
    return "" if old is not None or new["due_at"] > context.now else f"It is {context.now} already."


def _reviewer(call: Call, review: Mapping[str, Any], user: str) -> str:
    """Return who decides about a user's assignment: never the user, where anybody else can."""
    found = review.get("reviewer_id") if review["reviewer"] == "named" else manager_of(call, user)
    return call.identity.user if found in (None, user) else str(found)


@handles("startAccessReview")
def start(call: Call) -> Reply:
    """Open a review with an item for each assignment of its roles."""
    call.ask("users", "batchReadUsers")
    review = call.records.create(REVIEWS, call.body)
    held = [a for a in assignments(call) if a.doc["role_id"] in call.body["role_ids"]]
    if not held:
        raise Problem("access_review_empty", "Nobody holds any of these roles.")
    for assignment in held:
        user = assignment.doc["principal_id"]
        item = {"access_review_id": review.id, "role_assignment_id": assignment.id, "user_id": user}
        item |= {"role_id": assignment.doc["role_id"], "decision": "pending", "reviewer_id": _reviewer(call, review.doc, user)}
        call.records.create(ITEMS, item)
    review = _count(call, review)
    call.emit("crm.access_review.started.v1", review.id, {"record": call.records.public(review)})
    return single.shown(call, review, 201, Location=f"/v1/access-reviews/{review.id}")


def _count(context: Context, review: Record, /, **members: Any) -> Record:
    """Write the numbers of items into a review, with further members."""
    items = context.records.find(ITEMS, access_review_id=review.id)
    decisions = [i.doc["decision"] for i in items]
    counts = {
        "item_count": len(items),
        "decided_count": len(items) - decisions.count("pending"),
        "revoked_count": decisions.count("revoke"),
    }
    return context.records.change(review, {**counts, **members})


def _open(review: Record) -> Record:
    if review.doc["status"] != "open":
        raise Problem("access_review_closed", f"The review is {review.doc['status']}.")
    return review


@handles("decideAccessReviewItem")
def decide(call: Call) -> Reply:
    """Keep or revoke one assignment."""
    review, item = call.parents["access_review_id"], call.found
    if item.doc["access_review_id"] != review.id:
        raise Problem("not_found", f"The review has no item {item.id}.")
    if item.doc["user_id"] == call.identity.user:
        raise Problem("own_access_not_reviewable", "The assignment is your own.")
    if item.doc["reviewer_id"] != call.identity.user:
        raise Problem("not_the_reviewer", f"{item.doc['reviewer_id']} decides about this item.")
    _open(review)
    patch = {"decision": call.body["decision"], "reason": call.body.get("reason"), "decided_at": call.now}
    decided = call.records.change(item, {**patch, "decided_by": call.identity.user}, action="decided")
    _count(call, review)
    call.emit("crm.access_review_item.decided.v1", decided.id, {"record": call.records.public(decided)})
    return single.shown(call, decided)


@handles("remindAccessReviewers")
def remind(call: Call) -> Reply:
    """Tell who has open items."""
    review = _open(call.found)
    last = review.doc.get("reminded_at")
    if last and seconds_of(call.now) - seconds_of(last) < REMIND_AGAIN_SECONDS:
        raise Problem("reminder_too_soon", f"Reviewers were reminded at {last}.")
    waiting = call.records.find(ITEMS, access_review_id=review.id, decision="pending")
    reviewers = sorted({i.doc["reviewer_id"] for i in waiting})
    reminded = call.records.change(review, {"reminded_at": call.now}, action="reminded")
    data = {"record": call.records.public(reminded), "reviewer_ids": reviewers}
    call.emit("crm.access_review.reminded.v1", review.id, data)
    return Reply(200, {"reminded_count": len(reviewers), "reviewer_ids": reviewers})


@handles("completeAccessReview")
def complete(call: Call) -> Reply:
    """Close a review and name what goes."""
    review = _open(call.found)
    waiting = call.records.find(ITEMS, access_review_id=review.id, decision="pending")
    if waiting and not (call.body or {}).get("accept_undecided"):
        raise Problem("access_review_incomplete", f"{len(waiting)} of {review.doc['item_count']} items are open.")
    for item in waiting:
        patch = {"decision": review.doc["on_no_decision"], "reason": "Nobody decided in time.", "decided_at": call.now}
        call.records.change(item, patch, action="decided")
    revoked = _spare_last_administrator(call, call.records.find(ITEMS, access_review_id=review.id, decision="revoke"))
    completed = _count(call, review, status="completed", completed_at=call.now)
    names = ("role_assignment_id", "user_id", "role_id")
    data = {"record": call.records.public(completed), "revocations": [{n: i.doc[n] for n in names} for i in revoked]}
    call.emit("crm.access_review.completed.v1", review.id, data)
    return single.shown(call, completed)


def _spare_last_administrator(call: Call, revoked: list[Record]) -> list[Record]:
    """Keep one assignment of the role administrator where a review would revoke them all."""
    administrators = {r.id for r in call.records.find("roles", key="administrator")}
    held = {a.id for a in assignments(call) if a.doc["role_id"] in administrators}
    going = [i for i in revoked if i.doc["role_assignment_id"] in held]
    if not held or len(going) < len(held):
        return revoked
    kept = going[0]
    call.records.change(kept, {"decision": "keep", "reason": _LAST_ADMINISTRATOR})
    return [i for i in revoked if i.id != kept.id]


@handles("cancelAccessReview")
def cancel(call: Call) -> Reply:
    """Stop a review; nothing goes."""
    cancelled = call.records.change(_open(call.found), {"status": "cancelled"}, action="cancelled")
    call.emit("crm.access_review.cancelled.v1", cancelled.id, {"record": call.records.public(cancelled)})
    return single.shown(call, cancelled)


@hears("crm.user.deactivated.v1")
def revoke_deactivated(context: Context, event: Mapping[str, Any]) -> None:
    """Revoke what a deactivated user holds, in every open review where nobody has decided."""
    for item in context.records.find(ITEMS, user_id=event["subject"], decision="pending"):
        review = context.records.peek(REVIEWS, item.doc["access_review_id"])
        if review is not None and review.doc["status"] == "open":
            patch = {"decision": "revoke", "reason": _DEACTIVATED, "decided_at": event.get("time", context.now)}
            context.records.change(item, patch, action="decided")
            _count(context, review)
