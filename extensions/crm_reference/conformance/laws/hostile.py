"""Hostile requests that follow from an operation's shape."""

from __future__ import annotations

from collections.abc import Iterable

from crm_reference.conformance.laws.lab import Case, Lab, Skipped, demand, describe, entries_of, law, parts, split
from crm_reference.contract import Resource
from crm_reference.emulator import Response
from crm_reference.emulator.call import Context
from crm_reference.emulator.store import Record
from crm_reference.trace.subjects import exchanges_of, record_parameters

#: What a path parameter may be sent in place of an ID, percent-encoded as it goes over the wire.
_HOSTILE = ("A" * 10_000, "..%2F..%2Fetc%2Fpasswd", "%27%20OR%201%3D1--", "%00", "%F0%9F%92%A3", "%E0%80%80")

_REFUSED_URLS = (
    "http://tidewater.example/",
    "file:///etc/passwd",
    "https://127.0.0.1/",
    "https://[::1]/",
    "https://169.254.169.254/latest/meta-data",
    "https://10.0.0.1/",
    "https://localhost/",
    "https://user:secret@tidewater.example/",
)

#: Members that the platform sets, whatever a resource's schema says.
_PLATFORM = {
    "id": "con_01KDVDNA0000000000000000ZZ",
    "tenant_id": "ten_01KDVDNA000000000000000002",
    "created_at": "2001-01-01T00:00:00Z",
    "created_by": "usr_01KDVDNA000000000000000099",
    "version": 99,
}


@law("hostile-id")
def hostile_id(lab: Lab, operation: str) -> None:
    """IDs of the wrong form, of nobody and of somebody else are 404 (or 400), and change nothing."""
    case = lab.any_case(operation)
    case.rewind()
    before = lab.state()
    for parameter in record_parameters(case.operation):
        present = case.path_values()[parameter]
        nobody = present[:4] + present[4:-2] + "ZZ" if "_" in present else present + "Z"
        other = ("zzz" if present[:3] != "zzz" else "yyy") + present[3:]
        for value in (nobody, other, *_HOSTILE):
            response = case.send(path=case.path_with(**{parameter: value}))
            demand(response.status in (400, 404), f"{parameter}={value[:40]} got {describe(response)}")
            demand(b"A" * 201 not in response.body, "the answer repeats more than 200 characters of the input")
        demand(lab.state() == before, "the state changed")
    _not_the_owner(lab, case)


def _not_the_owner(lab: Lab, case: Case) -> None:
    resource = lab.contract.resources.get(case.operation.resource)
    if resource is None or not resource.owner or "{" not in case.operation.path:
        return
    case.rewind()
    id = next(iter(case.path_values().values()))
    record = lab.engine.world.store.get(lab.tenant_of(case), resource.collection, id)
    colleagues = [n for n, p in lab.contract.principals.items() if p.tenant == lab.tenant_of(case)]
    for viewer in [n for n in colleagues if record is not None and not _sees(lab, n, record)][:1]:
        response = case.send(headers={"authorization": lab.full_bearer(viewer)})
        demand(response.status == 404, f"a user who may not see the record got {describe(response)}")


def _sees(lab: Lab, principal: str, record: Record) -> bool:
    world = lab.engine.world
    identity = lab.engine.tokens.verify(lab.bearer(principal), world.clock.time())
    return Context(world, identity).records.visible(record)


@law("hostile-read-only")
def hostile_read_only(lab: Lab, operation: str) -> None:
    """Members that the platform sets are refused, and nothing changes."""
    case = lab.model(operation)
    case.rewind()
    before = lab.state()
    resource = lab.contract.resources[case.operation.resource]
    sample = lab.engine.world.store.select(lab.tenant_of(case), resource.collection, limit=1)
    values = {**_PLATFORM, **{n: sample[0].doc.get(n, "x") if sample else "x" for n in _read_only(resource)}}
    for name, value in values.items():
        response = case.send({**case.body, name: value})
        codes = {e["code"] for e in entries_of(response) if e.get("pointer") == f"#/{name}"}
        demand(response.status == 422 and bool(codes & {"read_only", "unknown_field"}), f"{name} got {describe(response)}")
        demand(lab.state() == before, f"the state changed when {name} was sent")


def _read_only(resource: Resource) -> Iterable[str]:
    return [n for n, p in resource.node.get("properties", {}).items() if p.get("readOnly")]


@law("hostile-url")
def hostile_url(lab: Lab, subject: str) -> None:
    """URLs that lead inside, or are no https, are refused at their place."""
    operation, pointer = split(subject)
    spot = _first_like(parts(pointer))
    case = _sending(lab, operation, spot)
    for url in _REFUSED_URLS:
        body = case.body
        _set(body, spot, url)
        response = case.send(body)
        place = "#/" + "/".join(spot)
        # A protocol's error has no room for the place.
        refused = response.status == 400 if case.operation.is_protocol else place in _blamed(response, spot[:2])
        demand(refused, f"{url} at {place} got {describe(response)}")


def _sending(lab: Lab, operation: str, spot: list[str]) -> Case:
    """Return the model exchange, or where it doesn't send what holds the spot (one of several branches), one that does."""
    case = lab.model(operation)
    above = spot[0]
    if len(spot) > 1 and isinstance(case.body, dict) and above not in case.body:
        others = [e for e in exchanges_of(lab.contract, operation) if e.succeeds and above in (e.request.body or {})]
        return lab.stage(others[0]) if others else case
    return case


def _blamed(response: Response, item: list[str]) -> set[str]:
    """Return the places that a 422 blames, those of a batch's item included.

    :param item: The first two parts of the pointer, ``items`` and a number where it leads into an item.
    """
    if response.status == 422:
        return {str(e.get("pointer")) for e in entries_of(response)}
    if response.status != 207 or item[0] != "items":
        return set()
    result = response.json()["results"][int(item[1])]
    errors = result.get("problem", {}).get("errors", ()) if result["status"] == 422 else ()
    return {f"#/items/{item[1]}{str(e.get('pointer')).removeprefix('#')}" for e in errors}


def _first_like(wanted: Iterable[str]) -> list[str]:
    """Return the concrete place of a generic pointer: entry 0 for ``*``."""
    found: list[str] = []
    for part in wanted:
        name = part.partition("<")[0]
        found.append("0" if name == "*" else name)
    return [p for p in found if p]


def _set(body: object, place: Iterable[str], value: object) -> None:
    *above, last = place
    for part in above:
        try:
            body = body[int(part)] if isinstance(body, list) else body[part]  # type: ignore[index]  # JSON data
        except (KeyError, IndexError, TypeError) as error:
            raise Skipped(f"the model exchange doesn't send {'/'.join(above)}") from error
    if isinstance(body, dict):
        body[last] = value


@law("hostile-file")
def hostile_file(lab: Lab, operation: str) -> None:
    """A test virus and an oversized file are never taken and given out."""
    case = lab.model(operation)
    eicar = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
    response = case.send(content=eicar)
    demand(response.status >= 400, f"the EICAR test file got {describe(response)}")
