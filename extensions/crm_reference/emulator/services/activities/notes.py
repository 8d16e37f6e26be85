"""Notes: versions of their text, whom they mention, and the pins of a record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from crm_reference.emulator.behaviours import listing, single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, enters, handles
from crm_reference.emulator.registry import sees as decides_sight
from crm_reference.emulator.services.activities import links
from crm_reference.emulator.store import Record

NOTES = "notes"
#: How many pinned notes a record has at most.
PINS = 3
_MENTION = re.compile(r"(?<![\w@])@(usr_[0-7][0-9A-HJKMNP-TV-Z]{25})(?!\w)")
_WORD = re.compile(r"\w+")


@computes("note_mentions")
def mentions(asked: Mapping[str, Any]) -> list[str]:
    """Return the users whom a text mentions, each once, in the order of the text.

    :param asked: ``body``.
    """
    return list(dict.fromkeys(_MENTION.findall(asked["body"])))


@computes("note_word_changes")
def word_changes(asked: Mapping[str, Any]) -> dict[str, int]:
    """Count the words that came and went between two texts; a word counts as often as it stands there, whatever its case.

    :param asked: ``before`` and ``after``.
    """
    before, after = (Counter(_WORD.findall(asked[name].casefold())) for name in ("before", "after"))
    return {"added_word_count": (after - before).total(), "removed_word_count": (before - after).total()}


@derives(NOTES)
def derive(context: Context | None, doc: Mapping[str, Any]) -> Mapping[str, Any]:
    """Derive mentions, and a new version where the text isn't that of the last one."""
    versions: list[dict[str, Any]] = list(doc.get("_versions", ()))
    text = {"title": doc.get("title", ""), "body": doc["body"]}
    if not versions or any(versions[-1][name] != value for name, value in text.items()):
        user = context.identity.user if context is not None and versions else doc.get("created_by", "")
        at = context.now if context is not None and versions else doc["created_at"]
        versions.append({**text, "written_at": at, "written_by": user})
    return {
        "mentioned_user_ids": mentions(doc),
        "attachment_ids": doc.get("attachment_ids", []),
        "is_private": doc.get("is_private", False),
        "is_pinned": bool(doc.get("pinned_at")),
        "text_version": len(versions),
        "_versions": versions,
    }


@enforces("note_without_record")
def without_record(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a note that is about nothing."""
    return "" if links.is_about_something(new) else "Name a contact, an account, a deal or a lead."


@enforces("note_mention_unknown")
def mention_unknown(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse a mention that leads to nobody; those that stood there before stay."""
    known = (old or {}).get("mentioned_user_ids", ())
    strangers = [id for id in new["mentioned_user_ids"] if id not in known and context.records.peek("users", id) is None]
    return f"{strangers[0]} is no user of the tenant." if strangers else ""


@enforces("note_private_not_author")
def private_not_author(context: Context, new: Mapping[str, Any], old: Mapping[str, Any] | None) -> str:
    """Refuse that somebody hides a colleague's note."""
    hides = old is not None and new["is_private"] and not old.get("is_private")
    return "The author alone makes a note private." if hides and new.get("created_by") != context.identity.user else ""


@decides_sight(NOTES)
def see(context: Context, note: Record) -> bool:
    """Show a note to its author, and to whoever sees one of its records unless it is private."""
    return links.sees(context, note.doc, "created_by")


@enters(NOTES)
def enter(call: Call) -> None:
    """Let a note be changed by its author and by whoever may change one of its records."""
    links.demand(call, "created_by")


@handles("pinNote")
def pin(call: Call) -> Reply:
    """Put a note on top of its records."""
    note = call.found
    if note.doc["is_pinned"]:
        raise Problem("note_pinned_already", f"{note.id} is pinned since {note.doc['pinned_at']}.")
    if full := _full(call, note.doc):
        raise Problem("note_pins_full", f"{full} has {PINS} pinned notes; take a pin away first.")
    return single.shown(call, call.records.change(note, {"pinned_at": call.now}, event="crm.note.updated.v1"))


def _full(context: Context, doc: Mapping[str, Any]) -> str:
    """Return a record of a note that has no place for a pin."""
    for name in links.LINKS:
        if doc.get(name) and len(context.records.find(NOTES, **{name: doc[name], "is_pinned": True})) >= PINS:
            return str(doc[name])
    return ""


@handles("unpinNote")
def unpin(call: Call) -> Reply:
    """Take the pin of a note away."""
    if not call.found.doc["is_pinned"]:
        raise Problem("note_not_pinned", f"{call.found.id} stands in the order of time already.")
    return single.shown(call, call.records.change(call.found, {"pinned_at": None}, event="crm.note.updated.v1"))


@handles("restoreNote", deleted=True)
def restore(call: Call) -> Reply:
    """Bring a note back, without its pin where the record has no place for it any more."""
    note = call.found
    if note.deleted_at is None:
        raise Problem("note_not_deleted", f"{note.id} was not deleted.")
    if note.doc["is_pinned"] and _full(call, note.doc):
        note = call.records.note(note, pinned_at=None)
    return single.shown(call, call.records.restore(note, event="crm.note.restored.v1"))


@handles("listNoteVersions")
def list_versions(call: Call) -> Reply:
    """List the texts of a note, newest first."""
    return listing.paged_items(call, versions_of(call.found.doc["_versions"]))


def versions_of(texts: Sequence[Mapping[str, Any]], /) -> list[dict[str, Any]]:
    """Return the versions of a text as clients see them, newest first."""
    found = []
    for number, text in enumerate(texts, 1):
        before = f"{texts[number - 2]['title']} {texts[number - 2]['body']}" if number > 1 else ""
        changed = word_changes({"before": before, "after": f"{text['title']} {text['body']}"})
        shown = {k: v for k, v in text.items() if v != ""}
        found.append({"version": number, **shown, "is_current": number == len(texts), **changed})
    return found[::-1]


@handles("restoreNoteVersion")
def restore_version(call: Call) -> Reply:
    """Make an earlier text that of today, as a new version."""
    texts, number = call.found.doc["_versions"], int(call.path["version"])
    if number > len(texts):
        raise Problem("not_found", f"The note has {len(texts)} versions.")
    if number == len(texts):
        raise Problem("note_version_current", f"Version {number} is the text of today.")
    text = {"title": texts[number - 1]["title"] or None, "body": texts[number - 1]["body"]}
    return single.shown(call, call.records.change(call.found, text, event="crm.note.updated.v1"))
