"""Paths to operations: a trie over segments, literals before parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

        Parameters are percent-decoded after the split, so that an encoded slash stays in its segment. Where a literal and a
        parameter both lead to an operation, the one that offers the method wins, then the literal.
        """
        segments = path.removeprefix("/").removesuffix("/").split("/")
        best: tuple[_Branch, list[str]] | None = None

        def walk(branch: _Branch, index: int, values: list[str]) -> bool:
            nonlocal best
            if index == len(segments):
                if branch.operations and (best is None or method in branch.operations):
                    best = (branch, values)
                return method in branch.operations
            literal = branch.literals.get(segments[index])
            if literal is not None and walk(literal, index + 1, values):
                return True
            if branch.parameter is not None and segments[index]:
                return walk(branch.parameter, index + 1, [*values, unquote(segments[index], errors="strict")])
            return False

        try:
            walk(self._root, 0, [])
        except UnicodeDecodeError:  # nothing is named by bytes that are no text
            return None
        if best is None:
            return None
        branch, values = best
        names = branch.names.get(method) or next(iter(branch.names.values()))
        return branch.operations, dict(zip(names, values, strict=False))
