"""Exchanges, recorded answers, vectors and the world, from ``examples/``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie
from typing import Any

from crm_reference.contract.documents import Document, Library, Node
from crm_reference.contract.example_model import Exchange, ExchangeRequest, Principal, Recorded, Vectors
from crm_reference.contract.findings import ContractError, Finding

#: Who calls where an exchange names nobody.
DEFAULT_PRINCIPAL = "maya"
#: A link to the error catalogue.
_HELP = re.compile(r'<[^>]+/errors#([a-z0-9_]+)>; rel="help"')
#: Principal that sends no token; to a public operation nobody does.
NOBODY = "none"


def exchange_documents(library: Library, slug: str, /) -> list[Document]:
    """Return the files that hold a service's exchanges: ``examples/{slug}.yaml``, or a file a tag in ``examples/{slug}/``."""
    return [*library.glob(f"examples/{slug}.yaml"), *library.glob(f"examples/{slug}/*.yaml")]


def build_exchanges(library: Library, slug: str, /) -> dict[str, Exchange]:
    """Build the exchanges of a service by ``operationId/name``, with recorded answers where there are any.

    :raises ContractError: If two files give an operation an exchange of the same name.
    """
    answers = library.open(f"examples/recorded/{slug}.json")
    recorded = answers.data if answers.path.is_file() else {}
    found: dict[str, Exchange] = {}
    for document in exchange_documents(library, slug):
        for operation, group in document.root.items():
            for name, node in group.items():
                exchange = build_exchange(slug, operation, name, node, recorded.get(f"{operation}/{name}"))
                if exchange.id in found:
                    message = f"{exchange.id} stands a second time; the first is at {found[exchange.id].place}"
                    raise ContractError([Finding(node.place, "exchange.duplicate", message)])
                found[exchange.id] = exchange
    return found


def build_exchange(slug: str, operation: str, name: str, node: Node, recorded: Any = None, *, summary: str = "") -> Exchange:
    """Build one exchange from what its author wrote.

    :param recorded: Its entry in ``examples/recorded``; ``None`` where there is none.
    :param summary: In place of the one that the node has.
    """
    request = node.get("request") or {}
    return Exchange(
        id=f"{operation}/{name}",
        operation=operation,
        name=name,
        service=slug,
        summary=summary or str(node.get("summary", "")),
        description=str(node.get("description", "")),
        given=tuple(node.get("given", ())),
        principal=str(node.get("as", DEFAULT_PRINCIPAL)),
        request=ExchangeRequest(
            path=request.get("path", {}),
            query=request.get("query", {}),
            headers=request.get("headers", {}),
            content_type=str(request.get("content_type", "")),
            body=request.get("body"),
            raw=request.get("raw"),
            has_body="body" in request or "raw" in request,
        ),
        expect=node.get("expect") or {"status": 0},
        scripted=node.get("response"),
        recorded=_recorded(recorded) if recorded else None,
        place=node.place,
    )


def _recorded(entry: Mapping[str, Any]) -> Recorded:
    request, response = entry["request"], entry["response"]
    return Recorded(
        method=request["method"],
        url=request["url"],
        request_headers=request.get("headers", {}),
        request_body=request.get("body"),
        status=response["status"],
        headers=response.get("headers", {}),
        body=response.get("body"),
        events=tuple(entry.get("events", ())),
    )


def build_vectors(library: Library, slug: str, /) -> tuple[Vectors, ...]:
    """Build the vectors of a service, sorted by file name."""
    return tuple(
        Vectors(
            service=slug,
            name=document.path.stem,
            title=str(document.root.get("title", "")),
            computation=str(document.root.get("computation", "")),
            why=str(document.root.get("why", "")),
            cases=tuple(document.root.get("cases", ())),
            node=document.root,
        )
        for document in library.glob(f"examples/vectors/{slug}/*.yaml")
    )


def build_world(library: Library, /) -> tuple[dict[str, tuple[Mapping[str, Any], ...]], dict[str, Principal]]:
    """Build the world: records by collection, and principals by name, from all files of ``examples/world``."""
    records: dict[str, tuple[Mapping[str, Any], ...]] = {}
    principals: dict[str, Principal] = {}
    for document in library.glob("examples/world/*.yaml"):
        for collection, node in document.root.items("records"):
            records[collection] = (*records.get(collection, ()), *node.value)
        for name, node in document.root.items("principals"):
            principals[name] = Principal(
                name=name,
                text=str(node.get("text", "")),
                tenant=str(node.get("tenant", "")),
                user=str(node.get("user", "")),
                client=str(node.get("client", "")),
                role=str(node.get("role", "")),
                scopes=tuple(node.get("scopes", ())),
                sees=str(node.get("sees", "all")),
            )
    return records, principals


def help_code(headers: Mapping[str, str], /) -> str:
    """Return the code that an error of a protocol profile names in its Link header; empty where there is none."""
    link = next((v for n, v in headers.items() if n.lower() == "link"), "")
    found = _HELP.fullmatch(link)
    return found[1] if found else ""


def codes_of(answer: Recorded, /) -> Iterator[str]:
    """Yield the error codes of an answer, whatever protocol it follows."""
    if code := help_code(answer.headers):
        yield code
    yield from codes_in(answer.body)


def expected_codes(exchange: Exchange, /) -> Iterator[str]:
    """Yield the error codes that an exchange's author expects: in the body, or in the Link of an error of a protocol."""
    for pointer, value in exchange.expect.items():
        if pointer.endswith(("/code", "/error")):
            yield str(value)
        elif pointer == "header:Link":
            yield help_code({"Link": str(value)})


def cookies_in(headers: Mapping[str, Any], /) -> Iterator[str]:
    """Yield the names of the cookies that a request sends."""
    for name, value in headers.items():
        if name.lower() == "cookie":
            yield from SimpleCookie(str(value))


def codes_in(body: Any, /) -> Iterator[str]:
    """Yield the error codes of a problem, of its entries, and of the problems in a batch's results."""
    if not isinstance(body, Mapping):
        return
    if isinstance(body.get("code"), str):
        yield body["code"]
    # OAuth's error_uri leads to the catalogue's code, which `error` may say in the protocol's words.
    if isinstance(body.get("error"), str):
        yield str(body.get("error_uri", body["error"])).rpartition("#")[2]
    for entry in body.get("errors", ()) if isinstance(body.get("errors"), list) else ():
        if isinstance(entry, Mapping) and isinstance(entry.get("code"), str):
            yield entry["code"]
    for entry in body.get("results", ()) if isinstance(body.get("results"), list) else ():
        if isinstance(entry, Mapping):
            yield from codes_in(entry.get("problem"))
