"""Exchanges on a page: the panel beside an operation, and the doctest node that proves what it shows.

The panel holds one literal block for each recorded exchange. Its shown text is the Python tab; its ``test`` is what the doctest
builder runs. Nothing is written twice: the panel's template prints the block it holds.
"""

from __future__ import annotations

import http
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from docutils import nodes

from crm_reference.contract import Exchange, Operation
from crm_reference.contract.examples import DEFAULT_PRINCIPAL
from crm_reference.exchanges.errors import ExchangeError
from crm_reference.exchanges.literals import json_literal
from crm_reference.exchanges.samples import TRANSPORT_HEADERS, doctest_of, samples
from crm_reference.sphinx.rendering import Bulk, add_bulk_node
from crm_reference.sphinx.state import get_state

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Headers that stand on every answer; a guide tells them once, and panels leave them out.
_EVERYWHERE = frozenset({"content-type", "ratelimit", "ratelimit-policy", "x-request-id", *TRANSPORT_HEADERS})

#: Columns of an answer; what fits is written on one line.
_WIDTH = 64


class ExchangePanel(Bulk):
    """The exchanges of one operation; its children are the doctest nodes of the Python tabs."""


def anchor_of(exchange: Exchange) -> str:
    """Return the fragment of an exchange: ``createContact.every-field``."""
    return f"{exchange.operation}.{exchange.name}"


def status_words(status: int | str) -> str:
    """Return a status with its phrase.

    >>> status_words(422)
    '422 Unprocessable Content'
    """
    phrases = {413: "Content Too Large", 422: "Unprocessable Content"}
    code = int(status)
    try:
        return f"{code} {phrases.get(code) or http.HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def exchange_node(exchange: Exchange, operation: Operation) -> nodes.literal_block | None:
    """Return the doctest node of an exchange, or ``None`` where no answer was recorded yet.

    Its group is the exchange's ID, so that each runs in a fresh world.
    """
    try:
        test = doctest_of(exchange, operation)
    except ExchangeError:
        return None
    node = nodes.literal_block(
        test.shown, test.shown, language="pycon", testnodetype="doctest", groups=[exchange.id], test=test.tested
    )
    node["options"] = {}
    node.source, node.line = str(exchange.place.document.path), exchange.place.line
    return node


def exchange_panel(exchanges: Iterable[Exchange], operation: Operation, docname: str) -> ExchangePanel | None:
    """Return the panel of an operation, or ``None`` where it has no exchanges."""
    shown: list[dict[str, Any]] = []
    blocks: list[nodes.literal_block] = []
    found: list[str] = []
    for exchange in exchanges:
        block = exchange_node(exchange, operation)
        shown.append(_data(exchange, operation, len(blocks) if block is not None else -1))
        if block is not None:
            blocks.append(block)
        found += [exchange.name, exchange.summary, _code_in(exchange)]
    if not shown:
        return None
    panel = ExchangePanel(
        template="panel", data={"operation": operation.id, "exchanges": shown}, docname=docname, support_smartquotes=False
    )
    panel += blocks
    panel += nodes.Text(" ".join(filter(None, found)))
    return panel


def _data(exchange: Exchange, operation: Operation, block: int) -> dict[str, Any]:
    recorded = exchange.recorded
    code = samples(exchange, operation) if recorded else {}
    return {
        "id": exchange.id,
        "anchor": anchor_of(exchange),
        "name": exchange.name,
        "summary": exchange.summary,
        "description": exchange.description,
        "status": exchange.status,
        "status_words": status_words(exchange.status),
        "given": [_given(step) for step in exchange.given],
        "principal": exchange.principal if exchange.principal != DEFAULT_PRINCIPAL else "",
        "scripted": exchange.scripted is not None,
        "block": block,
        "curl": code.get("curl", ""),
        "javascript": code.get("javascript", ""),
        "answer": _answer(exchange),
        "request": "" if recorded or exchange.request.body is None else json_literal(exchange.request.body, _WIDTH),
    }


def _given(step: str | Mapping[str, Any]) -> dict[str, str]:
    """Return a step before the exchange, as a link to another one or as words."""
    if isinstance(step, str):
        operation, _, name = step.partition("/")
        return {"operation": operation, "anchor": f"{operation}.{name}", "text": step}
    if "advance" in step:
        return {"operation": "", "anchor": "", "text": f"{step['advance']} pass"}
    if "deliver" in step:
        return {"operation": "", "anchor": "", "text": f"{step['deliver'].get('type', 'an event')} arrives"}
    fault = step.get("fault", {})
    return {"operation": "", "anchor": "", "text": f"{fault.get('service', 'a neighbour')} fails"}


def _answer(exchange: Exchange) -> dict[str, Any] | None:
    recorded = exchange.recorded
    if recorded is None:
        return None
    media = next((v for n, v in recorded.headers.items() if n.lower() == "content-type"), "")
    body, language = recorded.body, "json"
    if isinstance(body, str) and "json" not in media:
        text, language = body, "text"
    else:
        text = json_literal(body, _WIDTH) if body is not None else ""
    return {
        "headers": [(n, v) for n, v in recorded.headers.items() if n.lower() not in _EVERYWHERE],
        "media": media,
        "text": text,
        "language": language,
        "events": [str(e.get("type", "")) for e in recorded.events],
    }


def _code_in(exchange: Exchange) -> str:
    body = exchange.recorded.body if exchange.recorded else None
    return str(body.get("code", "")) if isinstance(body, dict) else ""


def note_exchanges(env: BuildEnvironment, exchanges: Iterable[Exchange]) -> None:
    """Note that the current page says of these exchanges whether they ran."""
    shown: dict[str, dict[str, str]] = env.__dict__.setdefault("crm_exchanges", {})
    outcomes = get_state(env.config).outcomes
    shown.setdefault(env.docname, {}).update({e.id: outcomes.get(e.id, "") for e in exchanges})


def _stale_badges(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Return pages whose badges another doctest run has outdated; they are written again, not read."""
    if app.builder.format != "html":
        return []
    outcomes = get_state(app.config).outcomes
    stale = []
    for docname, shown in getattr(env, "crm_exchanges", {}).items():
        now = {name: outcomes.get(name, "") for name in shown}
        if now != shown:
            shown.update(now)
            stale.append(docname)
    return stale


def _purge(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    getattr(env, "crm_exchanges", {}).pop(docname, None)


def _merge(app: Sphinx, env: BuildEnvironment, docnames: Any, other: BuildEnvironment) -> None:
    shown = env.__dict__.setdefault("crm_exchanges", {})
    shown.update({name: known for name, known in getattr(other, "crm_exchanges", {}).items() if name in docnames})


def setup_exchanges(app: Sphinx) -> None:
    """Register the panel's node, and what keeps its badges up to date."""
    add_bulk_node(app, ExchangePanel)
    app.connect("env-updated", _stale_badges)
    app.connect("env-purge-doc", _purge)
    app.connect("env-merge-info", _merge)
