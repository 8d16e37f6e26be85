"""Records with everything that a write means: platform fields, custom fields, rules, versions, change log, events, ``on_delete``.

Behaviours and handlers write through this and nothing else, so that no path around a rule exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crm_reference.contract import Resource
from crm_reference.emulator import access, custom_fields, field_access, holders, rules
from crm_reference.emulator.clock import days_later
from crm_reference.emulator.messages import Problem, counted
from crm_reference.emulator.query import Fields, words_of
from crm_reference.emulator.registry import DERIVATIONS, GUARDS, PRESENTATIONS, VISIBILITIES
from crm_reference.emulator.store import Record

if TYPE_CHECKING:
    from crm_reference.emulator.call import Context

#: Members that the platform sets; they are no changes of their own.
PLATFORM = frozenset({"id", "object", "created_at", "updated_at", "created_by", "updated_by", "version", "deleted_at"})


def derived(context: Context | None, collection: str, doc: dict[str, Any], /) -> dict[str, Any]:
    """Return a document with the members that follow from its others, as the service's derivation says."""
    derivation = DERIVATIONS.get(collection)
    return doc if derivation is None else merge_patch(doc, derivation(context, doc))


def merge_patch(target: Any, patch: Any, /) -> Any:
    """Return a JSON merge patch applied (RFC 7396, section 2).

    >>> merge_patch({"a": 1, "b": {"c": 2}}, {"a": None, "b": {"d": 3}})
    {'b': {'c': 2, 'd': 3}}
    """
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patch(result.get(name), value) if isinstance(value, Mapping) else value
    return result


class Records:
    """Records of the context's tenant."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.world.store
        self._tenant = context.tenant

    # -- reading ---------------------------------------------------------------------------------------------------------

    def get(self, collection: str, id: str, /, *, deleted: bool = False) -> Record:
        """Return a record that the caller may see.

        :raises Problem: ``not_found``; ``merged`` where it was merged away.
        """
        record = self._store.get(self._tenant, collection, id, deleted=True)
        if record is not None and (into := record.doc.get("_merged_into")):
            raise Problem("merged", f"This record was merged into {into}; use that one.", merged_into=into)
        if record is None or (record.deleted_at and not deleted) or not self.visible(record):
            resource = self._context.world.contract.resources.get(collection)
            noun = resource.object.replace("_", " ") if resource is not None else f"record of {collection}"
            raise Problem("not_found", f"No {noun} has the ID {id}.")
        return record

    def peek(self, collection: str, id: str, /) -> Record | None:
        """Return a living record, or ``None``, whoever may see it."""
        return self._store.get(self._tenant, collection, id)

    def find(self, collection: str, /, **equal: Any) -> list[Record]:
        """Return the living records whose members equal the given values."""
        return self._store.find(self._tenant, collection, **equal)

    def visible(self, record: Record, /) -> bool:
        """Tell whether the caller may see a record: as the service says, else as roles and sharing rules do."""
        visibility = VISIBILITIES.get(record.collection)
        if visibility is not None:
            return visibility(self._context, record)
        resource = self._context.world.contract.resources.get(record.collection)
        return resource is None or access.may(self._context, resource, record, "read")

    # -- writing ---------------------------------------------------------------------------------------------------------

    def create(
        self, collection: str, body: Mapping[str, Any], /, *, event: str = "", id: str = "", action: str = "created"
    ) -> Record:
        """Create a record: defaults, platform fields, custom fields, rules; then the change log and the event.

        :param event: Event to emit with ``record`` as data; none where empty.
        :raises Problem: What a rule or a custom field's definition says.
        """
        context, resource = self._context, self._context.resource(collection)
        traits = context.world.traits[collection]
        field_access.check_writable(context, resource.object, _names(body))
        now = context.now
        doc: dict[str, Any] = {"id": id or context.new_id(resource.prefix), "object": resource.object}
        doc |= {**traits.defaults, **{k: v for k, v in body.items() if v is not None}}
        if resource.owner and not doc.get(resource.owner) and context.identity.user:
            doc[resource.owner] = context.identity.user
        doc |= {"created_at": now, "updated_at": now}
        if "created_by" in traits.platform and context.identity.user:
            doc["created_by"] = context.identity.user
        doc = derived(context, collection, doc)
        if extension := custom_fields.extension(context, resource, doc):
            doc = custom_fields.with_defaults(context, extension, doc)
            self._refuse(custom_fields.check(context, extension, doc.get("custom_fields", {})))
            doc = custom_fields.with_numbers(context, extension, doc)
        rules.enforce(context, resource, doc, None)
        custom_fields.enforce(context, resource, doc, None)
        record = Record(collection, doc["id"], 1, doc)
        self._write(resource, record, action, _differences({}, doc))
        if event:
            context.emit(event, record.id, {"record": self.public(record)})
        return record

    def change(
        self,
        record: Record,
        patch: Mapping[str, Any],
        /,
        *,
        event: str = "",
        action: str = "updated",
        touched: Mapping[str, Any] | None = None,
    ) -> Record:
        """Change a record by a merge patch. A patch that changes nothing writes nothing and emits nothing.

        :param touched: Custom fields to check in place of those in the patch.
        :return: The record as it is now; the one that was given stays as it was.
        :raises Problem: What a rule or a custom field's definition says.
        """
        return self.replace(
            record,
            merge_patch(record.doc, patch),
            event=event,
            action=action,
            touched=patch.get("custom_fields") or {} if touched is None else touched,
        )

    def replace(
        self,
        record: Record,
        doc: Mapping[str, Any],
        /,
        *,
        event: str = "",
        action: str = "updated",
        touched: Mapping[str, Any] | None = None,
    ) -> Record:
        """Write a whole document in a record's place; like :meth:`change` in everything else."""
        context, resource = self._context, self._context.resource(record.collection)
        access.demand(context, record, "write")
        doc = derived(context, record.collection, dict(doc))
        differences = _differences(record.doc, doc)
        if not differences and record.deleted_at is None and _hidden(record.doc) == _hidden(doc):
            return record
        field_access.check_writable(context, resource.object, [d["field"] for d in differences])
        new = dict(doc)
        new["updated_at"] = context.now
        if "updated_by" in context.world.traits[record.collection].platform:
            new["updated_by"] = context.identity.user
            if not context.identity.user:
                del new["updated_by"]
        if extension := custom_fields.extension(context, resource, new):
            errors = custom_fields.check(context, extension, new.get("custom_fields", {}), touched=touched)
            self._refuse(errors)
        old = record.doc if record.deleted_at is None else {**record.doc, "_restoring": True}
        rules.enforce(context, resource, new, old)
        custom_fields.enforce(context, resource, new, old, is_changed=bool(differences))
        changed = Record(record.collection, record.id, record.version + 1, new)
        new.pop("deleted_at", None)
        self._write(resource, changed, action, differences)
        if event:
            self.tell(changed, record.doc, event)
        return changed

    def tell(self, record: Record, before: Mapping[str, Any], event: str, /) -> None:
        """Emit a record's change: what it is now, which fields changed, and what they were. No event where none did."""
        differences = _differences(before, record.doc)
        if differences:
            data = {"record": self.public(record), "changed_fields": [d["field"] for d in differences]}
            data["previous"] = {d["field"]: d["old_value"] for d in differences if "old_value" in d}
            self._context.emit(event, record.id, data)

    def delete(self, record: Record, /, *, event: str = "", action: str = "deleted") -> None:
        """Delete a record, softly where its resource says so, after what refers to it was asked.

        :raises Problem: Where a rule of ``on_delete: restrict``, or a guard of the service, holds on to it.
        """
        context, resource = self._context, self._context.resource(record.collection)
        access.demand(context, record, "delete")
        if record.collection in GUARDS and not context.is_upkeep:
            GUARDS[record.collection](context, record)
        released = holders.release(context, record)
        gone = Record(record.collection, record.id, record.version + 1, dict(record.doc), context.now)
        gone.doc |= {"deleted_at": context.now, "_released": released}
        if resource.delete == "soft":
            self._write(resource, gone, action, [])
        else:
            self._context.world.writes.add((self._context.service, record.collection))
            self._store.remove(self._tenant, record.collection, record.id)
            self._store.log(self._tenant, gone, action, context.now, context.identity.actor, {"changes": []})
        if event:
            data = {"id": record.id, "object": resource.object, "version": gone.version, "deleted_at": context.now}
            context.emit(event, record.id, {"record": data})

    def restore(self, record: Record, /, *, event: str = "") -> Record:
        """Bring a soft-deleted record back, with what its deletion took from other records.

        :raises Problem: ``not_found`` once its days are over; a unique rule's code where its place was taken meanwhile.
        """
        resource = self._context.resource(record.collection)
        if record.deleted_at is None:
            return record
        if days_later(record.deleted_at, resource.restore_days) <= self._context.now:
            raise Problem("not_found", f"The record was deleted more than {resource.restore_days} days ago and is gone.")
        doc = {k: v for k, v in record.doc.items() if k not in ("deleted_at", "_released")}
        restored = self.replace(record, doc, action="restored", touched={})
        holders.take_back(self._context, record.id, record.doc.get("_released", ()))
        if event:
            self._context.emit(event, record.id, {"record": self.public(restored)})
        return restored

    def revive(
        self, collection: str, doc: Mapping[str, Any], version: int, /, action: str = "restored", *, fresh: bool = True
    ) -> Record:
        """Write a record that was removed for good, or merged away, under its old ID.

        :param fresh: Whether its references must lead somewhere, as those of a new record; else only unique rules count.
        :raises Problem: What a rule says: the world has gone on.
        """
        resource = self._context.resource(collection)
        record = Record(collection, doc["id"], version, {**doc, "updated_at": self._context.now})
        rules.enforce(self._context, resource, record.doc, None if fresh else {**record.doc, "_restoring": True})
        self._write(resource, record, action, [])
        return record

    def note(self, record: Record, /, **hidden: Any) -> Record:
        """Keep members that no client sees (``_members``) with a record, which stays the same for clients: no version, no event.

        :return: The record with them.
        """
        noted = Record(record.collection, record.id, record.version, {**record.doc, **hidden}, record.deleted_at)
        self._put(noted)
        return noted

    def erase(self, record: Record, /) -> int:
        """Remove a record, deleted or not, with its history; the change feed tells that it is deleted, and nothing else.

        :return: How many entries the history had.
        """
        self._context.world.writes.add((self._context.service, record.collection))
        self._store.remove(self._tenant, record.collection, record.id)
        count = self._store.forget(self._tenant, record.collection, record.id)
        gone = Record(record.collection, record.id, record.version + 1, {})
        self._store.log(self._tenant, gone, "deleted", self._context.now, self._context.identity.actor, {"changes": []})
        return count

    # -- representation --------------------------------------------------------------------------------------------------

    def public(self, record: Record, /) -> dict[str, Any]:
        """Return a record as every reader sees it: without the emulator's own members and without secrets."""
        traits = self._context.world.traits[record.collection]
        hidden = traits.hidden
        doc = {k: v for k, v in record.doc.items() if k[0] != "_" and k not in hidden}
        if "version" in traits.platform:
            doc["version"] = record.version
        presentation = PRESENTATIONS.get(record.collection)
        if presentation is not None:
            doc = {k: v for k, v in {**doc, **presentation(self._context, record)}.items() if v is not None}
        resource = self._context.world.contract.resources[record.collection]
        return custom_fields.presented(self._context, resource, record, doc) if resource.extensible else doc

    def shown(self, record: Record, /, fields: Iterable[str] = ()) -> dict[str, Any]:
        """Return a record as this caller sees it: :meth:`public`, less masked fields, less what ``fields`` leaves out."""
        doc = self.public(record)
        for name in self.masked(record.collection):
            if name.startswith("custom_fields.") and "custom_fields" in doc:
                doc["custom_fields"] = {k: v for k, v in doc["custom_fields"].items() if f"custom_fields.{k}" != name}
            doc.pop(name, None)
        resource = self._context.resource(record.collection)
        if resource.extensible and (closed := custom_fields.closed(self._context, resource, doc)):
            doc["custom_fields"] = {k: v for k, v in doc["custom_fields"].items() if k not in closed}
        wanted = set(fields)
        if not wanted:
            return doc
        heads = {name.split(".")[0] for name in wanted} | {"id", "object"}
        shown = {k: v for k, v in doc.items() if k in heads}
        for name in wanted:
            head, _, rest = name.partition(".")
            if rest and head not in wanted and isinstance(shown.get(head), dict):
                inner = {n.partition(".")[2] for n in wanted if n.startswith(head + ".")}
                shown[head] = {k: v for k, v in shown[head].items() if k in inner}
        return shown

    def masked(self, collection: str, /) -> frozenset[str]:
        """Return the members of a collection's records that this caller may not see, for want of a scope or by its role."""
        masked = self._context.world.traits[collection].masked
        limited = field_access.limited(self._context, self._context.resource(collection).object)
        hidden = [name for name, access in limited.items() if access == "hidden"]
        return frozenset((*hidden, *(name for name, scope in masked.items() if scope not in self._context.identity.scopes)))

    def fields(self, collection: str, /) -> Fields:
        """Return what this caller can filter, sort and search by in a collection, custom fields included."""
        resource = self._context.resource(collection)
        extension = custom_fields.extension(self._context, resource)
        custom = custom_fields.query_fields(self._context, extension) if extension else {}
        return Fields(resource, custom, self.masked(collection))

    # -- inside ----------------------------------------------------------------------------------------------------------

    def _refuse(self, errors: list[dict[str, str]]) -> None:
        if errors:
            raise Problem("validation_failed", f"{counted(len(errors), 'custom field')} can't be taken; see errors.", errors)

    def _write(self, resource: Resource, record: Record, action: str, differences: list[dict[str, Any]]) -> None:
        self._put(record)
        at, actor = self._context.now, self._context.identity.actor
        self._store.log(self._tenant, record, action, at, actor, {"changes": differences})

    def _put(self, record: Record) -> None:
        self._context.world.writes.add((self._context.service, record.collection))
        searchable = [rules.value_of(record.doc, name) for name in self._context.world.traits[record.collection].searchable]
        self._store.put(self._tenant, record, words_of(searchable))


def _names(body: Mapping[str, Any]) -> list[str]:
    """Return the fields that a body sets, custom fields one by one."""
    return [*body, *(f"custom_fields.{name}" for name in body.get("custom_fields") or ())]


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what changed, by top-level field, custom fields one by one."""
    if not old:  # a creation sets what it has
        return [{"field": n, "new_value": v} for n, v in _told(new) if v is not None]
    found = []
    for name in dict.fromkeys((*old, *new)):
        if name in PLATFORM or name[0] == "_" or old.get(name) == new.get(name):
            continue
        if name == "custom_fields":
            inner = _differences(old.get(name) or {}, new.get(name) or {})
            found += [{**d, "field": f"custom_fields.{d['field']}"} for d in inner]
            continue
        entry: dict[str, Any] = {"field": name}
        if old.get(name) is not None:
            entry["old_value"] = old[name]
        if new.get(name) is not None:
            entry["new_value"] = new[name]
        found.append(entry)
    return found


def _told(doc: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields that a change tells of, custom fields one by one."""
    for name, value in doc.items():
        if name == "custom_fields":
            yield from ((f"custom_fields.{n}", v) for n, v in value.items())
        elif name not in PLATFORM and name[0] != "_":
            yield name, value


def _hidden(doc: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in doc.items() if k.startswith("_")}
