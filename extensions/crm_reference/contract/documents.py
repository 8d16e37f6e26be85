"""Documents on disk: loaded once, cached by content, addressed by URI and JSON Pointer, with the line of each value."""

from __future__ import annotations

import hashlib
import os
import posixpath
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson

from crm_reference.contract.findings import ContractError, Finding
from crm_reference.contract.yaml_source import Lines, YamlError, escape, parse

#: Documents are known to the JSON Schema registry under this base; nothing is ever fetched from it.
BASE_URI = "https://specs.crm.example/"

#: Part of the cache key: raise it when parsing changes.
_CACHE_FORMAT = b"1"


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a document: prints as ``source_specs/contacts/openapi.yaml:120``."""

    document: Document
    pointer: str = ""

    @property
    def line(self) -> int:
        """The 1-based line; that of the nearest parent where the pointer itself has none."""
        pointer = self.pointer
        while pointer and pointer not in self.document.lines:
            pointer = pointer.rpartition("/")[0]
        return self.document.lines.get(pointer, 1)

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


class Document:
    """One file: its data, and the line of each pointer, parsed or read from the cache on first use.

    :param library: The library that it belongs to; references are resolved through it.
    :param path: Where it lies.
    :param name: Path relative to the project, with forward slashes.
    """

    def __init__(self, library: Library, path: Path, name: str) -> None:
        self.library = library
        self.path = path
        self.name = name
        self.uri = BASE_URI + name

    def __repr__(self) -> str:
        return f"Document({self.name!r})"

    @cached_property
    def _text(self) -> bytes:
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise ContractError([Finding(place_of(self.name), "file.unreadable", f"can't be read: {error.strerror}")]) from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file's bytes, in hexadecimal."""
        return hashlib.sha256(_CACHE_FORMAT + self._text).hexdigest()

    @cached_property
    def data(self) -> Any:
        """The parsed content as JSON data: a mapping, as every document is.

        :raises ContractError: If the file can't be read or parsed, or holds something else.
        """
        data = self._data()
        if not isinstance(data, dict):
            message = f"is {'a list' if isinstance(data, list) else 'a single value'}, and must be a mapping"
            raise ContractError([Finding(place_of(self.name), "document.mapping", message)])
        return data

    def _data(self) -> Any:
        if self.path.suffix == ".json":
            try:
                return orjson.loads(self._text)
            except orjson.JSONDecodeError as error:
                raise ContractError(
                    [Finding(place_of(self.name, error.lineno), "json.syntax", f"is not JSON: {error.msg}")]
                ) from error
        cached = self.library.cache.read(f"{self.digest}.json")
        if cached is not None:
            return cached
        return self._parse()[0]

    @cached_property
    def lines(self) -> Lines:
        """The line of each pointer; empty for JSON files, which people don't write here."""
        if self.path.suffix == ".json":
            return {}
        cached = self.library.cache.read(f"{self.digest}.lines.json")
        return cached if isinstance(cached, dict) else self._parse()[1]

    def _parse(self) -> tuple[Any, Lines]:
        try:
            data, lines = parse(self._text)
        except YamlError as error:
            raise ContractError([Finding(place_of(self.name, error.line), "yaml.syntax", str(error))]) from error
        self.library.cache.write(f"{self.digest}.json", data)
        self.library.cache.write(f"{self.digest}.lines.json", lines)
        return data, lines

    @property
    def root(self) -> Node:
        """The whole content as a node."""
        return Node(self, "", self.data)


class _Missing(Document):
    """Stands in for a document that has no lines to look up."""

    def __init__(self, name: str, line: int = 1) -> None:
        self.name = name
        self.uri = BASE_URI + name
        self._line = line

    @cached_property
    def lines(self) -> Lines:
        return {"": self._line}


def place_of(name: str, line: int = 1) -> Place:
    """Return a place in a file that can't be loaded, or in none of the contract's."""
    return Place(_Missing(name, line))


@cache
def _fragment(pointer: str) -> str:
    return quote(pointer, safe="/~")


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a document, with its pointer, so that it can be resolved, validated against and named in messages.

    :param document: The document that holds it.
    :param pointer: JSON Pointer (RFC 6901) from the document's root.
    :param value: The data at that place.
    """

    document: Document = field(repr=False)
    pointer: str
    value: Any = field(repr=False, hash=False, compare=False)

    @property
    def place(self) -> Place:
        """File and line."""
        return Place(self.document, self.pointer)

    @property
    def uri(self) -> str:
        """The URI by which a JSON Schema registry finds it."""
        return f"{self.document.uri}#{_fragment(self.pointer)}"

    def __contains__(self, key: object) -> bool:
        return isinstance(self.value, dict) and key in self.value

    def get(self, key: str, default: Any = None) -> Any:
        """Return a member's raw value, or the default where it is absent."""
        return self.value.get(key, default) if isinstance(self.value, dict) else default

    def child(self, key: str | int) -> Node:
        """Return a member or entry as a node.

        :raises KeyError: If there is none.
        """
        return Node(self.document, f"{self.pointer}/{escape(str(key))}", self.value[key])

    def items(self, key: str | None = None) -> Iterator[tuple[str, Node]]:
        """Yield members (or those of the member ``key``) with their names; nothing where it is absent."""
        node = self if key is None else self.child(key) if key in self else None
        if node is not None and isinstance(node.value, dict):
            for name in node.value:
                yield name, node.child(name)

    def entries(self, key: str | None = None) -> Iterator[Node]:
        """Yield the entries of a list (or of the member ``key``); nothing where it is absent."""
        node = self if key is None else self.child(key) if key in self else None
        if node is not None and isinstance(node.value, list):
            for index in range(len(node.value)):
                yield node.child(index)

    def resolved(self) -> Node:
        """Follow ``$ref`` until there is none.

        :raises ContractError: If a reference dangles or leads back to itself.
        """
        if not isinstance(self.value, dict) or "$ref" not in self.value:
            return self
        first = self.document.library.follow(self)
        if not isinstance(first.value, dict) or "$ref" not in first.value:
            return first
        node, seen = self, {(self.document.name, self.pointer)}
        while isinstance(node.value, dict) and isinstance(node.value.get("$ref"), str):
            node = node.document.library.follow(node)
            if (node.document.name, node.pointer) in seen:
                raise ContractError([Finding(self.place, "ref.circular", "the $ref leads back to itself")])
            seen.add((node.document.name, node.pointer))
        return node

    @property
    def name(self) -> str:
        """The last part of the pointer: for a component, its name."""
        return self.pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


class Cache:
    """Parsed documents by the hash of their text. A cache that is absent, corrupt or not writable is the same as none.

    :param folder: Where the files lie; ``None`` keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def read(self, name: str) -> Any:
        """Return the cached data, or ``None`` where there is none that can be read."""
        if self.folder is None:
            return None
        try:
            return orjson.loads((self.folder / name).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None

    def write(self, name: str, data: Any) -> None:
        """Keep the data. The file appears whole or not at all; a disk that refuses is no error."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
                file.write(orjson.dumps(data))
            os.replace(file.name, self.folder / name)  # noqa: PTH105  (Path.replace does the same in more words)
        except OSError:
            return


class Library:
    """All documents below a project's root, by name.

    :param root: The project's root.
    :param cache: Folder of the cache; ``None`` for no cache.
    """

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self.root = root.resolve()
        self.cache = Cache(cache)
        self.documents: dict[str, Document] = {}
        self._followed: dict[tuple[str, str], Node] = {}

    def open(self, name: str) -> Document:
        """Return the document of that name, relative to the root; its content is read on first use."""
        document = self.documents.get(name)
        if document is None:
            document = self.documents[name] = Document(self, self.root / name, name)
        return document

    def glob(self, pattern: str) -> list[Document]:
        """Return the documents that match a pattern relative to the root, sorted by name."""
        return [self.open(path.relative_to(self.root).as_posix()) for path in sorted(self.root.glob(pattern))]

    def follow(self, node: Node) -> Node:
        """Return what a node's ``$ref`` names.

        :raises ContractError: If the file or the pointer doesn't exist; the finding stands at the reference.
        """
        reference: str = node.value["$ref"]
        key = (node.document.name, reference)
        found = self._followed.get(key)
        if found is None:
            found = self._followed[key] = self._follow(node, reference)
        return found

    def _follow(self, node: Node, reference: str) -> Node:
        file, _, fragment = reference.partition("#")
        document = node.document
        if file:
            # Names are joined as text: paths of the file system cost a fifth of a whole load.
            name = posixpath.normpath(posixpath.join(posixpath.dirname(document.name), unquote(file)))
            if name not in self.documents and (name.startswith("../") or not (self.root / name).is_file()):
                raise ContractError([Finding(node.place, "ref.dangling", f"$ref names {reference}; there is no such file")])
            document = self.open(name)
        value = document.data
        for part in unquote(fragment).split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            try:
                value = value[int(key)] if isinstance(value, list) else value[key]
            except (KeyError, IndexError, ValueError, TypeError):
                known = ", ".join(sorted(map(str, value))[:8]) if isinstance(value, dict) else "nothing"
                raise ContractError(
                    [
                        Finding(
                            node.place,
                            "ref.dangling",
                            f"$ref names {reference}; {document.name} has no {key!r} there (it has {known} ...)",
                        )
                    ]
                ) from None
        return Node(document, unquote(fragment), value)
