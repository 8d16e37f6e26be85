"""Relationship types: kinds of tie between any two objects, and what their links may be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.behaviours import single
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.scope import CUSTOM, resource_of, type_of
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, derives, enforces, handles, presents
from crm_reference.emulator.services.custom_objects.letting_go import LINKS, TYPES
from crm_reference.emulator.store import Record

#: How many links a preview names.
SAMPLE = 10
#: What a cardinality lets a record have at the from and at the to side; 0 is any number.
CARDINALITIES = {"one_to_one": (1, 1), "one_to_many": (0, 1), "many_to_many": (0, 0)}

Doc = Mapping[str, Any]


@derives(TYPES)
def follow(context: Context | None, doc: Doc) -> Doc:
    """Derive the objects at the ends, and the deletion policies of a type that names none."""
    policies = {name: doc.get(name, "unlink") for name in ("on_from_deleted", "on_to_deleted")}
    return {"object_types": sorted({doc["from_type"], doc["to_type"]}), **policies}


@presents(TYPES)
def present(context: Context, record: Record) -> Doc:
    """Show how many links of the type there are."""
    return {"link_count": len(context.records.find(LINKS, relationship_type_id=record.id))}


def known_object(context: Context, name: str, /) -> bool:
    """Tell whether links can lead to records of an object."""
    resource = resource_of(context, name)
    return resource is not None and name != CUSTOM and resource.extensible in (name, CUSTOM)


@enforces("relationship_objects_known")
def relationship_objects_known(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Demand two objects that take custom fields, or types of the tenant."""
    for end in ("from_type", "to_type"):
        if not known_object(context, new[end]):
            return f"There is no object {new[end]} that links can lead to.", end
    return ""


@enforces("relationship_policies_fit")
def relationship_policies_fit(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse to hold, or to delete, records that another service owns."""
    for side, other in (("from", "to"), ("to", "from")):
        policy = new.get(f"on_{side}_deleted", "unlink")
        held = new[f"{side}_type"] if policy == "restrict" else new[f"{other}_type"] if policy == "cascade" else ""
        if held and type_of(context, held) is None:
            done = "held" if policy == "restrict" else "deleted"
            return f"Records of {held} belong to another service and can't be {done} from here.", f"on_{side}_deleted"
    return ""


def limits_of(kind: Doc, /) -> tuple[int, int]:
    """Return how many links a record may have at the from side and at the to side; 0 for any number."""
    per_from, per_to = CARDINALITIES[kind["cardinality"]]
    return narrower(per_from, kind.get("max_per_from", 0)), narrower(per_to, kind.get("max_per_to", 0))


def narrower(one: int, other: int, /) -> int:
    """Return the narrower of two limits, where 0 is none.

    >>> narrower(0, 4), narrower(1, 4), narrower(0, 0)
    (4, 1, 0)
    """
    return min(one, other) if one and other else one or other


@computes("link_limits")
def link_limits(asked: Any) -> dict[str, int]:
    """Return what cardinality and limits of a type let a record have; 0 for any number."""
    per_from, per_to = limits_of(asked)
    return {"per_from": per_from, "per_to": per_to}


@enforces("relationship_limits_fit")
def relationship_limits_fit(context: Context, new: Doc, old: Doc | None) -> str | tuple[str, str]:
    """Refuse limits that links which are there already go over."""
    if old is None or limits_of(old) == limits_of(new):
        return ""
    links = [link.doc for link in context.records.find(LINKS, relationship_type_id=new["id"])]
    for side, limit in zip(("from", "to"), limits_of(new), strict=True):
        most = Counter(link[f"{side}_id"] for link in links).most_common(1)
        if limit and most and most[0][1] > limit:
            field = f"max_per_{side}" if new.get(f"max_per_{side}") == limit else "cardinality"
            return f"{most[0][0]} has {most[0][1]} links of the type, and could have {limit}.", field
    return ""


@handles("previewRelationshipTypeDeletion")
def preview_deletion(call: Call) -> Reply:
    """Tell what the deletion of a type would take."""
    links = call.records.find(LINKS, relationship_type_id=call.found.id)
    body = {
        "relationship_type_id": call.found.id,
        "link_count": len(links),
        "from_count": len({link.doc["from_id"] for link in links}),
        "to_count": len({link.doc["to_id"] for link in links}),
        "sample": [link.id for link in links[:SAMPLE]],
    }
    return Reply(200, body)


@handles("restoreRelationshipType", deleted=True)
def restore(call: Call) -> Reply:
    """Bring a type back with its links."""
    if call.found.deleted_at is None:
        raise Problem("relationship_type_not_deleted", f"{call.found.id} is not in the recycle bin.")
    return single.shown(call, call.records.restore(call.found, event="crm.relationship_type.restored.v1"))
