"""Which value survives a merge: from records and choices to the fields that survive, and how each was decided; no store is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Doc = Mapping[str, Any]

#: Entries of a list or an object that no service limits: custom fields with several choices.
_MOST = 100


def is_set(value: Any, /) -> bool:
    """Tell whether a field has a value."""
    return value not in (None, "", [], {})


def field_of(doc: Doc, field: str, /) -> Any:
    """Return a field's value; custom fields are named ``custom_fields.name``.

    >>> field_of({"custom_fields": {"fleet_size": 12}}, "custom_fields.fleet_size")
    12
    """
    head, _, name = field.partition(".")
    return doc.get(head, {}).get(name) if name else doc.get(head)


@dataclass(frozen=True, slots=True)
class Decided:
    """How one field was decided.

    :param ids: The records that the value comes from.
    """

    strategy: str
    value: Any = None
    ids: tuple[str, ...] = ()


#: Decides a field that follows from others unless a choice names it. Takes the records, the target first, and what is decided so
#: far; returns ``None`` where the field is decided as any other.
Follows = Callable[[Sequence[Doc], Mapping[str, Decided]], "Decided | None"]


@dataclass(frozen=True, slots=True)
class Further:
    """The list in which a primary value that loses lives on.

    :param field: The list.
    :param member: Under which an entry has the value; empty where the entry is the value.
    :param entry: Makes an entry of a value that lost.
    """

    field: str
    member: str = ""
    entry: Callable[[Any], Any] = lambda lost: lost

    def value_of(self, entry: Any, /) -> Any:
        """Return the value that an entry holds."""
        return entry[self.member] if self.member else entry


@dataclass(frozen=True, slots=True)
class Survivorship:
    """What a merge of one kind of record decides, and by which rules.

    :param noun: ``contact``: the strategy that takes one record's value, which its choice names as ``contact_id``.
    :param fields: What a merge decides, in the order of the schema; custom fields follow one by one.
    :param united: Fields whose entries can be united, with how many they hold at most.
    :param keys: What makes two entries of a list equal, where it isn't the whole entry.
    :param further: Where a primary value that loses lives on, by the primary field.
    :param follows: Fields that follow from others unless a choice names them.
    :param numeric: Fields whose highest value can be taken, besides custom ones.
    :param texts: Fields whose longest value can be taken, besides custom ones; any where that is ``None``.
    :param word: What the service calls a merge.
    """

    noun: str
    fields: tuple[str, ...]
    united: Mapping[str, int]
    keys: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, Further] = field(default_factory=dict)
    follows: Mapping[str, Follows] = field(default_factory=dict)
    numeric: frozenset[str] = frozenset()
    texts: frozenset[str] | None = None
    word: str = "merge"

    def default_strategy(self, field: str, /) -> str:
        """Return the strategy of a field that no choice names."""
        return "union" if field in self.united else "longest" if field == "description" else "target"

    def decide(self, records: Sequence[Doc], choices: Sequence[Doc], /) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the surviving fields, and for each field that a record has how it was decided.

        :param records: Documents, the target first, the sources in the order of the request.
        :param choices: ``field``, ``strategy`` and, with the strategy of the noun, the record's ID.
        """
        chosen = {choice["field"]: choice for choice in choices}
        customs = dict.fromkeys(f"custom_fields.{name}" for record in records for name in record.get("custom_fields", {}))
        decided: dict[str, Decided] = {}
        for name in (*self.fields, *customs):
            choice = chosen.get(name)
            followed = self.follows[name](records, decided) if choice is None and name in self.follows else None
            if followed is None:
                choice = choice or {}
                strategy = choice.get("strategy", self.default_strategy(name))
                followed = self.picked(records, name, strategy, choice.get(f"{self.noun}_id", ""))
            decided[name] = followed
        self._keep_losers(records, decided)
        outcomes = []
        for name, one in decided.items():
            present = [value for record in records if is_set(value := field_of(record, name))]
            if present or is_set(one.value):
                outcome: dict[str, Any] = {"field": name, "strategy": one.strategy}
                if is_set(one.value):
                    outcome["value"] = one.value
                is_conflict = any(value != present[0] for value in present[1:])
                outcomes.append(outcome | {f"{self.noun}_ids": list(one.ids), "is_conflict": is_conflict})
        return _assembled(decided), outcomes

    def picked(self, records: Sequence[Doc], field: str, strategy: str, id: str = "", /) -> Decided:
        """Decide one field.

        :param id: The record whose value is taken, with the strategy of the noun.
        """
        having = [record for record in records if is_set(field_of(record, field))]
        if strategy == self.noun:
            having = [record for record in having if record["id"] == id]
        if not having:
            return Decided(strategy)
        if strategy == "union":
            return self._united(having, field)
        ranked: Mapping[str, Callable[[], Doc]] = {
            "source": lambda: next((r for r in having if r is not records[0]), having[0]),
            "newest": lambda: max(having, key=lambda r: r["updated_at"]),
            "oldest": lambda: min(having, key=lambda r: r["created_at"]),
            "longest": lambda: max(having, key=lambda r: _length(field_of(r, field))),
            "highest": lambda: max(having, key=lambda r: field_of(r, field)),
        }
        winner = ranked.get(strategy, lambda: having[0])()
        return Decided(strategy, field_of(winner, field), (winner["id"],))

    def _united(self, having: Sequence[Doc], field: str) -> Decided:
        limit, key = self.united.get(field, _MOST), self.keys.get(field)
        origins = []
        if isinstance(field_of(having[0], field), Mapping):
            united: dict[str, Any] = {}
            for record in having:
                new = {k: v for k, v in field_of(record, field).items() if k not in united}
                united |= dict(list(new.items())[: limit - len(united)])
                if new:
                    origins.append(record["id"])
            return Decided("union", united, tuple(origins))
        entries: list[Any] = []
        for record in having:
            before = len(entries)
            for entry in field_of(record, field):
                same = (e[key] == entry[key] if key else e == entry for e in entries)
                if not any(same) and len(entries) < limit:
                    entries.append(entry)
            if len(entries) > before:
                origins.append(record["id"])
        return Decided("union", entries, tuple(origins))

    def _keep_losers(self, records: Sequence[Doc], decided: dict[str, Decided]) -> None:
        """Make further values of the primary ones that lost, and drop entries that repeat the one that won."""
        for primary, further in self.further.items():
            won, known = decided[primary].value, decided[further.field]
            entries = [entry for entry in known.value or () if further.value_of(entry) != won]
            ids = list(known.ids)
            for record in records:
                lost = record.get(primary)
                is_known = lost == won or any(further.value_of(entry) == lost for entry in entries)
                if is_set(lost) and not is_known and len(entries) < self.united[further.field]:
                    entries.append(further.entry(lost))
                    if record["id"] not in ids:
                        ids.append(record["id"])
            decided[further.field] = Decided(known.strategy, entries or None, tuple(ids) if entries else ())

    def fault(self, choice: Doc, ids: set[str], kinds: Mapping[str, str], masked: frozenset[str], /) -> str:
        """Tell what is wrong with a choice, or return ``""``.

        :param ids: The records that are merged.
        :param kinds: Types of custom fields by name.
        :param masked: Fields that the caller may not see.
        """
        name, strategy, noun = choice["field"], choice["strategy"], self.noun
        head, _, rest = name.partition(".")
        custom = kinds.get(rest) if head == "custom_fields" else None
        if (name not in self.fields and custom is None) or head in masked:
            return f"{name} is not decided by a {self.word}."
        if strategy == noun and choice.get(f"{noun}_id") not in ids:
            return f"{noun}_id must name one of the {noun}s that are merged."
        if strategy != noun and f"{noun}_id" in choice:
            return f"{noun}_id goes with the strategy {noun} only."
        if strategy == "union" and name not in self.united and custom != "multi_picklist":
            return f"{name} is not a list, so there is nothing to unite."
        if strategy == "highest" and name not in self.numeric and custom not in ("integer", "decimal"):
            return f"{name} is not a number, so none is the highest."
        is_text = self.texts is None or name in self.texts or custom in ("text", "long_text")
        if strategy == "longest" and not is_text:
            return f"{name} is not a text, so none is the longest."
        return ""


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0


def _assembled(decided: Mapping[str, Decided]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for path, one in decided.items():
        head, _, name = path.partition(".")
        if is_set(one.value):
            if name:
                record.setdefault(head, {})[name] = one.value
            else:
                record[head] = one.value
    return record
