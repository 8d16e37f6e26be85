"""Prose: lengths, first words, forbidden words, copies."""

from __future__ import annotations

import re
from collections.abc import Iterator

from crm_reference.contract.documents import Node
from crm_reference.contract.lint.registry import Problem, rule
from crm_reference.contract.lint.survey import Survey

_FORBIDDEN = re.compile(r"\b(just|simply|simple|easy|easily|please)\b|\be\.g\.|\bi\.e\.|\betc\b", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\b(foo|bar|baz|lorem ipsum|todo|tbd|fixme|xxx|acme|john doe|example\.com)\b", re.IGNORECASE)
#: Members whose text people read.
_TEXTS = frozenset(
    {
        *("title", "summary", "description", "text", "cause", "fix", "why", "effect", "fallback", "capability", "help"),
        *("purpose", "symptom", "look", "act", "retention", "what", "x-security", "x-public", "x-displayName"),
        *("error_budget", "migrations", "does", "compensates", "target", "alert"),
    }
)
_VERBS_IN_S = ("pass", "access", "process", "dismiss", "assess", "suppress", "discuss", "address", "press", "express", "bypass")


def texts(node: Node) -> Iterator[Node]:
    """Yield the text members of a document."""
    if isinstance(node.value, dict):
        described = node.pointer.endswith("/x-enum-descriptions")
        for key, child in node.items():
            if isinstance(child.value, str):
                if key in _TEXTS or described:
                    yield child
            else:
                yield from texts(child)
    elif isinstance(node.value, list):
        for child in node.entries():
            yield from texts(child)


def _prose(survey: Survey) -> Iterator[Node]:
    for service in survey.services:
        for document in (service.openapi, service.asyncapi, service.manifest.node.document):
            yield from texts(document.root)
        for document in survey.example_documents(service):
            for _, group in document.root.items():
                for _, exchange in group.items():
                    yield from (exchange.child(k) for k in ("summary", "description") if k in exchange)


@rule("prose.summary")
def check_summaries(survey: Survey) -> Iterator[Problem]:
    """An operation's summary is imperative, without a full stop, of 60 characters at most, and its alone."""
    seen: dict[tuple[str, str], str] = {}
    for operation in survey.operations:
        text = operation.summary
        if not 8 <= len(text) <= 60:
            yield operation.place, f"{operation.id}: the summary has {len(text)} characters; write 8 to 60"
        if text.endswith("."):
            yield operation.place, f"{operation.id}: the summary ends in a full stop; remove it"
        first = text.split(" ")[0]
        if (first.lower().endswith("s") and first.lower() not in _VERBS_IN_S) or not first[:1].isupper():
            yield operation.place, f"{operation.id}: the summary begins with {first!r}; begin with an imperative, as Create"
        key = (operation.service, text)
        if key in seen:
            yield operation.place, f"{operation.id} has the summary of {seen[key]}; say what is different"
        seen.setdefault(key, operation.id)


@rule("prose.description")
def check_descriptions(survey: Survey) -> Iterator[Problem]:
    """An operation's description has 2 to 6 sentences and 40 characters at least, and doesn't begin with 'This endpoint'."""
    for operation in survey.operations:
        text = operation.description.strip()
        sentences = len(re.findall(r"[.!?](?=[\s)]|$)", text))
        if len(text) < 40:
            yield operation.place, f"{operation.id}: the description has {len(text)} characters; write 40 at least"
        elif not 2 <= sentences <= 6:
            yield operation.place, f"{operation.id}: the description has {sentences} sentences; write 2 to 6"
        if re.match(r"(this|the) (endpoint|operation|api|method)\b", text, re.IGNORECASE):
            begins = f"the description begins with {text[:14]!r}; begin with what changes or comes back"
            yield operation.place, f"{operation.id}: {begins}"


@rule("prose.words")
def check_words(survey: Survey) -> Iterator[Problem]:
    """The words just, simply, easy, please and e.g. don't appear."""
    for node in _prose(survey):
        if match := _FORBIDDEN.search(node.value):
            yield node.place, f"the text at {node.pointer.rpartition('/')[2]} says {match[0]!r}; leave the word out"


@rule("prose.placeholder")
def check_placeholders(survey: Survey) -> Iterator[Problem]:
    """No text is a placeholder: values and names are those of examples/world."""
    for node in _prose(survey):
        if match := _PLACEHOLDER.search(node.value):
            yield node.place, f"the text at {node.pointer.rpartition('/')[2]} says {match[0]!r}; write what is meant"


@rule("prose.copied")
def check_copies(survey: Survey) -> Iterator[Problem]:
    """No two operations of a service have the same description or the same x-security."""
    for service in survey.services:
        for key in ("description", "x-security"):
            seen: dict[str, str] = {}
            for operation in service.operations:
                text = " ".join(str(operation.node.get(key, "")).split())
                if text and text in seen:
                    message = f"{operation.id} has the {key} of {seen[text]}; say what is true of it alone"
                    yield operation.node.child(key).place, message
                seen.setdefault(text, operation.id)


@rule("prose.nouns")
def check_nouns(survey: Survey) -> Iterator[Problem]:
    """No two operations have descriptions that are the same but for the names of records, health and metrics apart."""
    nouns = set(_nouns(survey))
    seen: dict[str, str] = {}
    for operation in survey.contract.operations.values():
        if operation.policy == "health":
            continue
        words = re.findall(r"[a-z0-9']+|[^\sa-z0-9']", operation.description.lower())
        text = re.sub(r"(_ )+", "_ ", " ".join("_" if word in nouns else word for word in words))
        first = seen.setdefault(text, operation.id)
        if first != operation.id:
            message = f"the description of {operation.id} differs from that of {first} by nouns only; say what is true of it alone"
            yield operation.place, message


def _nouns(survey: Survey) -> Iterator[str]:
    """Yield the words by which records and services are called, one and many."""
    for name in (*(r.object for r in survey.contract.resources.values()), *survey.contract.services):
        for word in re.split("[_-]", name):
            yield from (word, f"{word}s", f"{word}es", word.removesuffix("y") + "ies", word.removesuffix("s"))


@rule("prose.exchange")
def check_exchanges(survey: Survey) -> Iterator[Problem]:
    """An exchange's summary has no full stop, and no other exchange of its operation has it."""
    seen: dict[tuple[str, str], str] = {}
    for exchange in survey.contract.exchanges.values():
        if exchange.summary.endswith("."):
            yield exchange.place, f"{exchange.id}: the summary ends in a full stop; remove it"
        key = (exchange.operation, exchange.summary)
        if key in seen:
            yield exchange.place, f"{exchange.id} has the summary of {seen[key]}; say what is different"
        seen.setdefault(key, exchange.id)
