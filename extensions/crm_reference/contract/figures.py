"""Figures of a written bundle: how much of what a reader wants is there.

Counted is what lies on disk, not the model that it was made from: what a figure says, a reader can count again with other tools.
Shares are of the operations that a figure is about; examples are counted once each, however many names they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from crm_reference.contract.documents import Library, Node
from crm_reference.contract.examples import codes_in, cookies_in
from crm_reference.contract.model import Operation
from crm_reference.contract.operations import build_operations
from crm_reference.contract.schema_tree import declared, used

#: Fewest characters of a description.
LEAST_DESCRIPTION = 40

#: Fewest examples an operation has on average: the best that was found published is 1.27 and 3.2.
LEAST_SUCCESSES, LEAST_ERRORS = 1.3, 3.3


@dataclass(frozen=True, slots=True)
class Figure:
    """One count over the bundle.

    :param name: What is counted, in words.
    :param count: How many there are: of subjects that have it, or of examples.
    :param of: How many subjects there are.
    :param least: What :attr:`value` must be at least; above 1 it is an average, else a share.
    :param lacking: Subjects that lack it, with what they lack; empty for averages.
    """

    name: str
    count: int
    of: int
    least: float
    lacking: tuple[str, ...] = ()

    @property
    def value(self) -> float:
        """The share or the average; 0 where there are no subjects."""
        return self.count / self.of if self.of else 0.0

    @property
    def holds(self) -> bool:
        """Whether it is as large as it must be."""
        return self.value >= self.least


def share(name: str, subjects: Mapping[str, str], /, least: float = 1.0) -> Figure:
    """Return the share of subjects that lack nothing.

    >>> share("described", {"getBerth": "", "listBerths": "3 characters"}).value
    0.5

    :param subjects: By name, what each lacks; empty where it lacks nothing.
    """
    lacking = tuple(f"{subject}: {lack}" for subject, lack in subjects.items() if lack)
    return Figure(name, len(subjects) - len(lacking), len(subjects), least, lacking)


def figures(bundle: Path, /) -> tuple[Figure, ...]:
    """Count over the documents of all services in a bundle.

    :param bundle: The folder that :func:`~crm_reference.contract.bundle.write_bundle` wrote.
    """
    slugs = sorted(path.parent.name for path in bundle.glob("*/openapi.json"))
    entries = [entry for slug in slugs for entry in _entries(bundle, slug)]
    asking = [e for e in entries if e.operation.parameters or e.operation.body]
    return (
        share("request examples send every property and parameter", {e.id: ", ".join(e.unsent()) for e in asking}),
        share("each success status has an example", {e.id: ", ".join(e.unshown_successes()) for e in entries}),
        share("each own error code has an example", {e.id: ", ".join(e.unshown_errors()) for e in entries if e.operation.errors}),
        share("scopes, or the reason why it is public", _lacks(entries, lambda o: bool(o.scopes or o.public), "neither")),
        share("policy class", _lacks(entries, lambda o: bool(o.policy), "none")),
        share("requirement IDs", _lacks(entries, lambda o: bool(o.requirements), "none")),
        share("what an implementer must guard against", _lacks(entries, lambda o: bool(o.security_note), "no x-security")),
        share("answer 429 (probes are asked by no client)", _lacks([e for e in entries if not e.is_probe], _limited, "none")),
        share(f"description of {LEAST_DESCRIPTION} characters or more", _lacks(entries, _described, "shorter")),
        Figure("distinct success examples an operation", sum(e.count("2") for e in entries), len(entries), LEAST_SUCCESSES),
        Figure("distinct error examples an operation", sum(e.count("45") for e in entries), len(entries), LEAST_ERRORS),
    )


def _lacks(entries: list[_Entry], has: Callable[[Operation], bool], lack: str) -> dict[str, str]:
    return {e.id: "" if has(e.operation) else lack for e in entries}


def _limited(operation: Operation) -> bool:
    return "429" in operation.responses


def _described(operation: Operation) -> bool:
    return len(operation.description) >= LEAST_DESCRIPTION


def table(found: Iterable[Figure], /) -> Iterator[str]:
    """Yield figures as lines of a table; below each that doesn't hold, what it lacks."""
    rows = list(found)
    width = max((len(f.name) for f in rows), default=0)
    for figure in rows:
        if figure.least > 1:
            said = f"{figure.value:7.2f}  ({figure.count} in {figure.of}, at least {figure.least:.2f})"
        else:
            said = f"{figure.value:7.1%}  ({figure.count} of {figure.of}, at least {figure.least:.0%})"
        yield f"{figure.name:<{width}}  {said}"
        if not figure.holds:
            yield from (f"  {lack}" for lack in figure.lacking)


def _entries(bundle: Path, slug: str) -> Iterator[_Entry]:
    """Yield a service's operations with the requests that its Postman collection shows."""
    library = Library(bundle)
    sent: dict[str, list[Mapping[str, Any]]] = {}
    for folder in library.open(f"{slug}/postman.json").data["item"]:
        for item in folder["item"]:
            sent[item["id"]] = item["response"]
    for operation in build_operations(slug, library.open(f"{slug}/openapi.json").root, {}):
        yield _Entry(operation, tuple(sent.get(operation.id, ())))


@dataclass(frozen=True, slots=True)
class _Entry:
    """An operation of a written document.

    :param answers: Its saved answers in the Postman collection, each with the request that led to it.
    """

    operation: Operation
    answers: tuple[Mapping[str, Any], ...]

    @property
    def id(self) -> str:
        return self.operation.id

    @property
    def is_probe(self) -> bool:
        return self.operation.path.endswith(("/health/live", "/health/ready"))

    def examples(self, part: Node) -> list[Any]:
        """Return the values of the examples of a media type object."""
        return [e["value"] for e in part.get("examples", {}).values()]

    def responses(self, classes: str) -> Iterator[tuple[str, Node]]:
        """Yield the responses whose status begins with one of the digits."""
        for status, node in self.operation.node.items("responses"):
            if status[0] in classes:
                yield status, node.resolved()

    def count(self, classes: str) -> int:
        """Return how many distinct bodies are shown in responses whose status begins with one of the digits."""
        values = (v for _, r in self.responses(classes) for _, media in r.items("content") for v in self.examples(media))
        return len({orjson.dumps(v, option=orjson.OPT_SORT_KEYS) for v in values})

    def unsent(self) -> Iterator[str]:
        """Yield the properties of bodies and the parameters that no example of a request uses."""
        operation = self.operation
        body = operation.node.child("requestBody").resolved() if operation.body else None
        for media, part in body.items("content") if body else ():
            values = self.examples(part)
            if not values:
                yield f"a body of {media}"
            elif "json" in media and "ndjson" not in media and "schema" in part:
                seen = {spot.generic for value in values for spot in used(part.child("schema"), value)}
                yield from (pointer for pointer in declared(part.child("schema")) if pointer not in seen)
        shown = {name for answer in self.answers if answer["code"] < 400 for name in _used_parameters(answer["originalRequest"])}
        for parameter in operation.parameters:
            name = parameter.name.lower() if parameter.location == "header" else parameter.name
            if parameter.location != "path" and (parameter.location, name) not in shown:
                yield f"{parameter.location} {parameter.name}"
        if not any(answer["code"] < 400 for answer in self.answers):
            yield "a request that succeeds"

    def unshown_successes(self) -> Iterator[str]:
        """Yield the success statuses without an example: of a body, or where there is none, of an answer."""
        answered = {str(answer["code"]) for answer in self.answers}
        for status, response in self.responses("23"):
            media = list(response.items("content"))
            if not (any(self.examples(m) for _, m in media) if media else status in answered):
                yield status

    def unshown_errors(self) -> Iterator[str]:
        """Yield the operation's own error codes that no example of a problem carries."""
        bodies = [v for _, r in self.responses("2345") for _, m in r.items("content") for v in self.examples(m)]
        shown = {code for body in bodies for code in codes_in(body)}
        if self.operation.profile == "scim":  # whose errors have no room for a code: the example is named by it
            shown |= {name for _, r in self.responses("45") for _, m in r.items("content") for name in m.get("examples", ())}
        yield from (code for code in self.operation.errors if code not in shown)


def _used_parameters(request: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield location and name of what a saved request sends in its query and its headers; those of headers in small letters."""
    for pair in request["url"].get("query", ()):
        yield "query", pair["key"].partition("[")[0]
    for header in request["header"]:
        yield "header", header["key"].lower()
        yield from (("cookie", name) for name in cookies_in({header["key"]: header["value"]}))
