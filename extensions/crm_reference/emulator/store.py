"""Records in SQLite: a table for each collection, JSON documents queried in place.

The store knows tenants and versions and nothing of schemas. Reads never cross a tenant: the tenant is an argument of every call.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson

from crm_reference.emulator.sql import SCHEMA, TABLE, folded, member

_T = TypeVar("_T")

_NAME = re.compile(r"[a-z][a-z0-9-]*")
#: Name of the state that tells which collections of a snapshot were written to.
_COLLECTIONS = "collections"


class StoreError(Exception):
    """The database file can't be used; the message says why and what to do."""


@dataclass(slots=True)
class Record:
    """A stored record.

    :param doc: The document as clients know it, with members that begin with an underscore for the emulator alone.
    :param deleted_at: When it was soft-deleted; ``None`` while it lives.
    """

    collection: str
    id: str
    version: int
    doc: dict[str, Any]
    deleted_at: str | None = None

    @property
    def etag(self) -> str:
        """The version as a strong entity tag."""
        return f'"{self.version}"'


@dataclass(slots=True)
class Change:
    """One entry of the change log."""

    sequence: int
    id: str
    version: int
    action: str
    at: str
    actor: str
    detail: dict[str, Any]


@dataclass(slots=True, eq=False)
class Mark:
    """A state of a store to which one can go back.

    :param tables: The tables that there were.
    :param touched: Collections that were written to since; what is remembered of the others holds when one is back.
    :param contents: What :meth:`Store.contents` said there, once it was asked.
    """

    tables: frozenset[str]
    touched: set[str] = field(default_factory=set)
    contents: tuple[Any, ...] = ()


class Store:
    """All records of all tenants.

    :param database: File to keep them in; in memory where ``None``.
    :raises StoreError: If the file isn't a database of this program, or can't be written.
    """

    def __init__(self, database: Path | None = None) -> None:
        self.database = database
        self._depth = 0
        self._remembered: dict[str, dict[Hashable, Any]] = {}
        #: Rises with every write, so that what was computed from many records is known to hold.
        self.revision = 0
        #: The snapshot that was restored, the states to which one can go back, and how many rows had been written at the last one.
        self._restored: bytes | None = None
        self._levels: list[Mark] = []
        self._written = -1
        self._last_event: int | None = None
        self._last_sequence: dict[tuple[str, str], int] = {}
        self._last_change: dict[tuple[str, str], int] = {}
        try:
            self._db = sqlite3.connect(str(database) if database else ":memory:", isolation_level=None, check_same_thread=False)
            self._refuse_foreign()
            self._db.execute("pragma journal_mode = wal")
            # A crash of the machine may lose the last writes of an emulator; a crash of the program loses none.
            self._db.execute("pragma synchronous = normal")
            self._db.executescript(SCHEMA)
            #: The collections that were written to; the tables that stay whatever is rolled back; those made since, which may not.
            self._tables = self._known_tables()
            self._kept = frozenset(self._tables)
            self._made: set[str] = set()
            self._levels = [Mark(frozenset(self._tables))]
        except sqlite3.Error as error:
            raise StoreError(
                f"{database}: can't be used as a database ({error}); name another file, or remove this one to begin anew"
            ) from error

    def _refuse_foreign(self) -> None:
        """Refuse a database of another program before anything is written to it."""
        tables = {row[0] for row in self._db.execute("select name from sqlite_master where type = 'table'")}
        if tables and not {"changes", "events", "state"} <= tables:
            raise sqlite3.DatabaseError("it belongs to another program")

    def close(self) -> None:
        """Close the database; what was written stays. Twice does no harm."""
        self._db.close()

    def __del__(self) -> None:
        """Close what nobody closed: since Python 3.13 a connection that is left open is warned about."""
        with suppress(AttributeError):  # there is none where the constructor failed
            self._db.close()

    def _known_tables(self) -> set[str]:
        rows = self._db.execute("select name from sqlite_master where type = 'table' and name like 'r:%'")
        return {row[0] for row in rows}

    def _table(self, collection: str) -> str:
        """Return the quoted name of a collection's table, which is made on first use."""
        table = f"r:{collection}"
        if table not in self._tables:
            if not _NAME.fullmatch(collection):
                raise ValueError(f"{collection!r} can't be the name of a collection")
            if table not in self._kept:
                self._db.execute(TABLE.format(table=table))
                self._made.add(table)
            self._tables.add(table)
        return f'"{table}"'

    def has(self, collection: str, /) -> bool:
        """Tell whether a record of a collection was ever written; it costs no query."""
        return f"r:{collection}" in self._tables

    def remembered(self, collection: str, key: Hashable, find: Callable[[], _T], /) -> _T:
        """Return what ``find`` returns, without asking again until the collection is written to.

        For what every write looks up and few writes change: definitions, endpoints. Nobody may change what it returns.
        """
        known = self._remembered.setdefault(collection, {})
        if key not in known:
            known[key] = find()
        found: _T = known[key]
        return found

    def index(self, collection: str, field: str, /, *, fold: bool = False) -> None:
        """Make looking up records by a field fast. Unique rules and references need it; without, each write reads everything.

        :param field: Dotted name, from the contract.
        :param fold: Whether the look-up disregards case.
        """
        name = f"i:{collection}:{field}{':fold' if fold else ''}"
        table, value = self._table(collection), folded(field) if fold else member(field)
        # Records without a value are looked up by nobody, and an entry for each costs every write.
        self._db.execute(f'create index if not exists "{name}" on {table} (tenant, {value}) where {member(field)} is not null')

    @property
    def is_empty(self) -> bool:
        """Whether no record was ever written."""
        return not any(self._db.execute(f'select 1 from "{table}" limit 1').fetchone() for table in self._tables)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do all of a block or nothing of it. Blocks may stand in each other; an inner one that fails undoes itself alone."""
        self._depth += 1
        name, tables = f"level{self._depth}", set(self._tables)
        self._db.execute(f"savepoint {name}")
        try:
            yield
        except BaseException:
            self._db.execute(f"rollback to {name}")
            self._db.execute(f"release {name}")
            self._tables = tables  # a collection's first use was undone as well
            self._forget(self._levels[-1].touched)
            raise
        else:
            self._db.execute(f"release {name}")
        finally:
            self._depth -= 1

    # -- records ---------------------------------------------------------------------------------------------------------

    def get(self, tenant: str, collection: str, id: str, /, *, deleted: bool = False) -> Record | None:
        """Return a record, or ``None``. Soft-deleted ones are returned only with ``deleted``."""
        if not self.has(collection):
            return None
        row = self._db.execute(
            f"select version, doc, deleted_at from {self._table(collection)} where tenant = ? and id = ?", (tenant, id)
        ).fetchone()
        if row is None or (row[2] is not None and not deleted):
            return None
        return Record(collection, id, row[0], orjson.loads(row[1]), row[2])

    def put(self, tenant: str, record: Record, /, words: str = "") -> None:
        """Write a record, new or not, with the words that text queries look into."""
        self._note_write(record.collection)
        self._db.execute(
            f"insert into {self._table(record.collection)} (tenant, id, version, doc, words, deleted_at) values (?, ?, ?, ?, ?, ?) "
            "on conflict do update set version = excluded.version, doc = excluded.doc, words = excluded.words, "
            "deleted_at = excluded.deleted_at",
            (tenant, record.id, record.version, orjson.dumps(record.doc).decode(), words, record.deleted_at),
        )

    def remove(self, tenant: str, collection: str, id: str, /) -> None:
        """Remove a record for good."""
        self._note_write(collection)
        self._db.execute(f"delete from {self._table(collection)} where tenant = ? and id = ?", (tenant, id))

    def _note_write(self, collection: str) -> None:
        self._remembered.pop(collection, None)
        self._levels[-1].touched.add(collection)
        self.revision += 1

    def select(
        self,
        tenant: str,
        collection: str,
        /,
        where: str = "",
        arguments: Sequence[Any] = (),
        *,
        order: str = "id",
        limit: int = -1,
        deleted: bool | None = False,
    ) -> list[Record]:
        """Return records by an SQL condition over ``doc``, ``id``, ``version`` and ``words``.

        Where the order doesn't matter, an empty one lets the database use the field's index rather than walk all records.

        :param where: Condition, composed by :mod:`.query` from field names of the contract; values stand in ``arguments``.
        :param deleted: False for living ones, True for soft-deleted ones, ``None`` for both.
        """
        if not self.has(collection):
            return []
        condition = "" if deleted is None else f" and deleted_at is {'not ' if deleted else ''}null"
        rows = self._db.execute(
            f"select id, version, doc, deleted_at from {self._table(collection)} where tenant = ?{condition}"
            f"{f' and ({where})' if where else ''} {f' order by {order}' if order else ''} limit ?",
            (tenant, *arguments, limit),
        )
        return [Record(collection, r[0], r[1], orjson.loads(r[2]), r[3]) for r in rows]

    def count(self, tenant: str, collection: str, /, where: str = "", arguments: Sequence[Any] = ()) -> int:
        """Return how many living records meet a condition."""
        if not self.has(collection):
            return 0
        row = self._db.execute(
            f"select count(*) from {self._table(collection)} where tenant = ? and deleted_at is null"
            f"{f' and ({where})' if where else ''}",
            (tenant, *arguments),
        ).fetchone()
        return int(row[0])

    def find(self, tenant: str, collection: str, /, **equal: Any) -> list[Record]:
        """Return living records whose top-level members equal the given values, ordered by ID."""
        where = " and ".join(f"{member(name)} = ?" for name in equal)
        return self.select(tenant, collection, where, tuple(equal.values()))

    def tenants(self, collection: str, /) -> list[str]:
        """Return the tenants that have records in a collection."""
        rows = self._db.execute(f"select distinct tenant from {self._table(collection)} order by 1")
        return [row[0] for row in rows]

    # -- changes and events ----------------------------------------------------------------------------------------------

    def log(self, tenant: str, record: Record, action: str, at: str, actor: str, detail: Mapping[str, Any], /) -> int:
        """Append to the change log and return the sequence number. Each tenant's collection has its own: no gap tells of others."""
        key = (tenant, record.collection)
        sequence = self._last_change[key] = self._newest_change(*key) + 1
        self._db.execute(
            "insert into changes (tenant, collection, sequence, id, version, action, at, actor, detail) "
            "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                tenant,
                record.collection,
                sequence,
                record.id,
                record.version,
                action,
                at,
                actor,
                orjson.dumps(detail).decode(),
            ),
        )
        return sequence

    def _newest_change(self, tenant: str, collection: str) -> int:
        known = self._last_change.get((tenant, collection))
        if known is None:
            query = "select coalesce(max(sequence), 0) from changes where tenant = ? and collection = ?"
            known = int(self._db.execute(query, (tenant, collection)).fetchone()[0])
        return known

    def changes(
        self, tenant: str, collection: str, /, *, after: int = 0, id: str = "", newest_first: bool = False, limit: int = -1
    ) -> list[Change]:
        """Return entries of the change log behind a sequence number (before it where newest first)."""
        condition, arguments = "", [tenant, collection]
        if id:
            condition += " and id = ?"
            arguments.append(id)
        if after:
            condition += f" and sequence {'<' if newest_first else '>'} ?"
        rows = self._db.execute(
            "select sequence, id, version, action, at, actor, detail from changes where tenant = ? and collection = ?"
            f"{condition} order by sequence {'desc' if newest_first else 'asc'} limit ?",
            (*arguments, *([after] if after else []), limit),
        )
        return [Change(r[0], r[1], r[2], r[3], r[4], r[5], orjson.loads(r[6])) for r in rows]

    def forget(self, tenant: str, collection: str, id: str, /) -> int:
        """Remove a record's entries from the change log and return how many there were."""
        where = "where tenant = ? and collection = ? and id = ?"
        return self._db.execute(f"delete from changes {where}", (tenant, collection, id)).rowcount

    def append_event(self, tenant: str, event: Mapping[str, Any], /, *, follows: bool) -> None:
        """Append an event to the outbox.

        :param follows: Whether a service emitted it because it heard another event, and not because of a request or a job.
        """
        self._db.execute(
            "insert into events (tenant, source, follows, event) values (?, ?, ?, ?)",
            (tenant, event["source"], follows, orjson.dumps(event).decode()),
        )
        self._last_event = None if self._last_event is None else self._last_event + 1
        key = (tenant, event["source"])
        if key in self._last_sequence:
            self._last_sequence[key] += 1

    def events(self, /, *, follow: bool = True) -> list[dict[str, Any]]:
        """Return the outbox's events in the order of their emission.

        :param follow: Whether with those that services emitted because they heard others.
        """
        rows = self._db.execute(f"select event from events {'' if follow else 'where not follows'} order by row")
        return [orjson.loads(row[0]) for row in rows]

    def last_event(self) -> int:
        """Return the row of the newest event; 0 where there is none."""
        if self._last_event is None:
            self._last_event = int(self._db.execute("select coalesce(max(row), 0) from events").fetchone()[0])
        return self._last_event

    def last_sequence(self, tenant: str, source: str, /) -> int:
        """Return how many events a source has emitted for a tenant."""
        key = (tenant, source)
        if key not in self._last_sequence:
            found = self._db.execute("select count(*) from events where tenant = ? and source = ?", key).fetchone()
            self._last_sequence[key] = int(found[0])
        return self._last_sequence[key]

    # -- state -----------------------------------------------------------------------------------------------------------

    def ids(self) -> Iterator[str]:
        """Yield every ID that was given, so that a reopened world goes on counting behind them."""
        for table in sorted(self._tables):
            for (id,) in self._db.execute(f'select id from "{table}"'):
                yield id
        for (id,) in self._db.execute("select event->>'$.id' from events"):
            yield id

    def save_state(self, name: str, value: Any, /) -> None:
        """Keep a small value beside the records."""
        self._db.execute("insert or replace into state values (?, ?)", (name, orjson.dumps(value).decode()))

    def load_state(self, name: str, /) -> Any:
        """Return a value kept by :meth:`save_state`, or ``None``."""
        row = self._db.execute("select value from state where name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def contents(self) -> tuple[Any, ...]:
        """Return every record and how many changes and events there are, to compare a world before and after."""
        level, is_untouched = self._levels[-1], self._db.total_changes == self._written
        if level.contents and is_untouched:
            return level.contents
        tables = tuple(tuple(self._db.execute(f'select * from "{table}" order by tenant, id')) for table in sorted(self._tables))
        counts = self._db.execute("select (select count(*) from changes), (select count(*) from events)").fetchone()
        found = (*(t for t in tables if t), counts)
        if is_untouched:
            level.contents = found
        return found

    def snapshot(self) -> bytes:
        """Return the whole content, as SQLite serializes it: what is committed, and nothing else."""
        if self._restored is not None:
            self._db.execute("release restored")
            self._restored = None
        elif len(self._levels) > 1:
            self._db.execute("release mark1")
        self._levels = [Mark(frozenset(self._tables), set(self._remembered))]
        self.save_state(_COLLECTIONS, sorted(self._tables))
        return self._db.serialize()

    def restore(self, content: bytes, /) -> None:
        """Replace the whole content with that of a snapshot. The same one again costs no more than what was written since.

        :raises StoreError: If the store is kept in a file: a snapshot would cut its connection to it.
        """
        if self.database is not None:
            raise StoreError(f"{self.database}: a world in a file can't be replaced; start without --db")
        if content is self._restored:
            self._db.execute("rollback to restored")
            self._keep_tables()
        else:
            # Another connection for each world: one that is given content a second time keeps pages and statements of the former
            # content, and SQLite 3.40 crashed in a select over json_each after some resets.
            self._db.close()
            self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            self._db.deserialize(content)
            self._db.execute("savepoint restored")
            self._restored = content
            self._kept = frozenset(self._known_tables())
            self._made.clear()
            self._levels = [Mark(frozenset(self.load_state(_COLLECTIONS)), set(self._remembered))]
        self._come_back(0)

    def _keep_tables(self) -> None:
        """Give the restored state the tables, empty ones, that were made since.

        SQLite reads its whole schema anew after a table was made, and again after that was rolled back: half of the time of a
        short exchange.
        """
        if made := self._made - self._kept:
            for table in sorted(made):
                self._db.execute(TABLE.format(table=table))
            self._db.execute("release restored")
            self._db.execute("savepoint restored")
            self._kept |= made
        self._made.clear()

    def mark(self) -> Mark:
        """Return a mark of the present content, which holds until something older is restored or a snapshot is taken."""
        self._db.execute(f"savepoint mark{len(self._levels)}")
        mark = Mark(frozenset(self._tables))
        self._levels.append(mark)
        self._written = self._db.total_changes
        return mark

    def holds(self, mark: Mark, /) -> bool:
        """Tell whether one can go back to a mark."""
        return any(mark is level for level in self._levels[1:])

    def rewind(self, mark: Mark, /) -> None:
        """Go back to a mark, any number of times. It costs no more than what was written since.

        :raises ValueError: If the mark doesn't hold any more.
        """
        if not self.holds(mark):
            raise ValueError("the mark doesn't hold any more: what was there before it was restored")
        depth = next(n for n, level in enumerate(self._levels) if level is mark)
        self._db.execute(f"rollback to mark{depth}")
        self._come_back(depth)

    def _come_back(self, depth: int) -> None:
        for level in self._levels[depth:]:
            self._forget(level.touched)
        del self._levels[depth + 1 :]
        self._levels[depth].touched.clear()
        self._tables = set(self._levels[depth].tables)
        self._written = self._db.total_changes

    def _forget(self, collections: Iterable[str]) -> None:
        """Forget what is known of collections whose content may be another one now."""
        for collection in collections:
            self._remembered.pop(collection, None)
        self.revision += 1
        self._last_event = None
        self._last_sequence.clear()
        self._last_change.clear()
