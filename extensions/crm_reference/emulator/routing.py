"""Paths to operations: a trie over segments, literals before parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote

from crm_reference.contract import Operation


class _Branch:
    __slots__ = ("literals", "names", "operations", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Branch] = {}
        self.parameter: _Branch | None = None
        self.operations: dict[str, Operation] = {}
        self.names: dict[str, tuple[str, ...]] = {}


class Router:
    """Finds the operation of a method and path.

    :param operations: All that are served.
    """

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._root = _Branch()
        for operation in operations:
            branch, names = self._root, []
            for segment in operation.url_path.strip("/").split("/"):
                if segment.startswith("{"):
                    names.append(segment.strip("{}"))
                    branch.parameter = branch.parameter or _Branch()
                    branch = branch.parameter
                else:
                    branch = branch.literals.setdefault(segment, _Branch())
            branch.operations[operation.method] = operation
            branch.names[operation.method] = tuple(names)

    def match(self, path: str, method: str) -> tuple[Mapping[str, Operation], dict[str, str]] | None:
        """Return the path's operations by method and the values of its parameters, or ``None``.

        Parameters are percent-decoded after the split, so that an encoded slash stays in its segment. A literal segment comes
        before a parameter, whatever the method (OpenAPI 3.1, 4.8.8.2).
        """
        segments = path.removeprefix("/").removesuffix("/").split("/")
        try:
            found = _walk(self._root, segments, 0, [])
        except UnicodeDecodeError:  # nothing is named by bytes that are no text
            return None
        if found is None:
            return None
        branch, values = found
        names = branch.names.get(method) or next(iter(branch.names.values()))
        return branch.operations, dict(zip(names, values, strict=False))


def _walk(branch: _Branch, segments: Sequence[str], index: int, values: list[str]) -> tuple[_Branch, list[str]] | None:
    if index == len(segments):
        return (branch, values) if branch.operations else None
    literal = branch.literals.get(segments[index])
    if literal is not None and (found := _walk(literal, segments, index + 1, values)) is not None:
        return found
    if branch.parameter is not None and segments[index]:
        return _walk(branch.parameter, segments, index + 1, [*values, unquote(segments[index], errors="strict")])
    return None
