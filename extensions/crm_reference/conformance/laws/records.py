"""What holds of every record: read your write, delete, restore, versions, keys, search, batches, references, rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from crm_reference.conformance.laws.lab import Broken, Case, Lab, Skipped, code_of, demand, describe, entries_of, filled, finds, law
from crm_reference.contract import Contract, Operation, Resource, Service
from crm_reference.emulator import Engine, Record, Request, Response
from crm_reference.exchanges.replay import Replayer, request_of


def _with(*behaviours: str) -> Callable[[Contract], list[str]]:
    """Return a function that finds the resources that have all of the behaviours."""

    def find(contract: Contract) -> list[str]:
        has = {(o.resource, o.behaviour) for o in contract.operations.values()}
        return [c for c in contract.resources if all((c, b) in has for b in behaviours)]

    return find


def operation_of(lab: Lab, collection: str, behaviour: str) -> Operation:
    """Return the operation of a resource that behaves in a generic way, as ``create``."""
    return next(o for o in lab.contract.operations.values() if o.resource == collection and o.behaviour == behaviour)


def _created(lab: Lab, collection: str) -> tuple[Case, Response]:
    """Send the model creation of a resource."""
    case = lab.model(operation_of(lab, collection, "create").id)
    # One caller makes and reads it, so that no masked member tells the answers apart.
    case = replace(case, request=case.altered(headers={"authorization": lab.full_bearer(lab.administrator(lab.tenant_of(case)))}))
    response = case.send()
    demand(response.status == 201, f"the creation got {describe(response)}")
    return case, response


def _call(lab: Lab, case: Case, operation: Operation, path: str, **options: Any) -> Response:
    """Call another operation of the case's resource, as the same caller."""
    headers = {**case.request.headers, **options.pop("headers", {})}
    return lab.send(operation, Request(operation.method, path, (), headers, options.pop("content", b"")))


@law("read-your-write", _with("create", "read"))
def read_your_write(lab: Lab, collection: str) -> None:
    """What a creation answers, its Location gives again, under the same ETag."""
    case, made = _created(lab, collection)
    read = _call(lab, case, operation_of(lab, collection, "read"), made.headers["Location"])
    # A creation that gives a secret out answers with the record under the name of its kind, and the secret beside it.
    record = made.json().get(lab.contract.resources[collection].object, made.json())
    demand(read.status == 200 and read.json() == record, f"the record reads back as {describe(read)}")
    demand(read.headers["ETag"] == made.headers["ETag"], "the ETags differ")
    again = _call(
        lab, case, operation_of(lab, collection, "read"), made.headers["Location"], headers={"if-none-match": read.headers["ETag"]}
    )
    if operation_of(lab, collection, "read").parameter("If-None-Match", "header"):
        demand(again.status == 304, f"If-None-Match got {describe(again)}")


@law("delete-then-404", _with("create", "read", "delete"))
def delete_then_404(lab: Lab, collection: str) -> None:
    """A deleted record is 404, also when it is deleted again."""
    case, made = _created(lab, collection)
    delete, path = operation_of(lab, collection, "delete"), made.headers["Location"]
    first = _call(lab, case, delete, path)
    demand(first.status == 204, f"the deletion got {describe(first)}")
    demand(_call(lab, case, delete, path).status == 404, "the repeated deletion isn't 404")
    demand(_call(lab, case, operation_of(lab, collection, "read"), path).status == 404, "the deleted record can be read")


@law("restore", _with("create", "read", "delete", "restore"))
def restore(lab: Lab, collection: str) -> None:
    """A restored record is as it was, its version and times apart."""
    case, made = _created(lab, collection)
    path = made.headers["Location"]
    _call(lab, case, operation_of(lab, collection, "delete"), path)
    back = _call(lab, case, operation_of(lab, collection, "restore"), path + "/restore")
    demand(back.status == 200, f"the restoration got {describe(back)}")
    moved = ("version", "updated_at", "updated_by")
    one, other = ({k: v for k, v in r.json().items() if k not in moved} for r in (made, back))
    demand(one == other, "the restored record differs from the one that was deleted")


@law("stale-if-match", _with("create", "update"))
def stale_if_match(lab: Lab, collection: str) -> None:
    """A stale If-Match is 412 and writes nothing; the present one is taken."""
    update = lab.model(operation_of(lab, collection, "update").id)
    demand(update.send(headers={"if-match": '"999"'}).status == 412, "a stale If-Match isn't 412")


@law("idempotent-replay", _with("create"))
def idempotent_replay(lab: Lab, collection: str) -> None:
    """The same key and body give the first answer again; another body is 422."""
    case = lab.model(operation_of(lab, collection, "create").id)
    if case.operation.parameter("Idempotency-Key", "header") is None:
        raise Broken("the creation takes no Idempotency-Key")
    key = {"idempotency-key": "law-of-idempotency-1"}
    first = case.send(headers=key)
    again = lab.send(case.operation, case.altered(headers=key))
    demand(
        again.json() == first.json() and again.headers.get("Idempotency-Replayed") == "true", f"the replay got {describe(again)}"
    )
    other = lab.send(case.operation, case.altered({**case.body, "zz": 1}, headers=key))
    demand(code_of(other) == "idempotency_key_reused", f"another body got {describe(other)}")


@law("search-agrees", _with("list", "search"))
def search_agrees(lab: Lab, collection: str) -> None:
    """A search without conditions finds what the list has."""
    case = lab.model(operation_of(lab, collection, "search").id)
    case.rewind()
    found = lab.send(case.operation, case.altered({"limit": 200}))
    listing = lab.model(operation_of(lab, collection, "list").id)
    listing.rewind()
    listed = lab.send(listing.operation, replace(listing.request, query=[("limit", "200")], headers=case.request.headers))
    ids = [{r["id"] for r in response.json()["data"]} for response in (found, listed)]
    demand(ids[0] == ids[1], f"search and list differ in {sorted(ids[0] ^ ids[1])[:3]}")


@law("batch-agrees", _with("create", "batch_create"))
def batch_agrees(lab: Lab, collection: str) -> None:
    """A record made in a batch equals one made alone."""
    case, single = _created(lab, collection)
    batch = lab.model(operation_of(lab, collection, "batch_create").id)
    batch.rewind()
    case.rewind()
    many = lab.send(batch.operation, replace(batch.request, headers=case.request.headers, body=_items(case.body)))
    record = many.json()["results"][0]["record"]
    own = ("id", "created_at", "updated_at")
    alone = single.json().get(lab.contract.resources[collection].object, single.json())
    one, other = ({k: v for k, v in r.items() if k not in own} for r in (alone, record))
    demand(one == other, f"they differ in {sorted(k for k in {*one, *other} if one.get(k) != other.get(k))}")


def _items(body: Any) -> bytes:
    return orjson.dumps({"items": [body]})


@law("mirror")
def mirror(lab: Lab, collection: str) -> None:
    """A mirror made from the list and kept up by the change feed equals the list after random writes."""
    lab.engine.reset()
    headers = {"authorization": lab.full_bearer(lab.administrator()), "content-type": "application/json"}
    feed, listing = operation_of(lab, collection, "changes"), operation_of(lab, collection, "list")
    create = repeatable(lab, operation_of(lab, collection, "create"), headers)

    def path_of(operation: Operation) -> str:
        return filled(operation.url_path, create.path_values())

    def get(operation: Operation, **query: str) -> Any:
        response = lab.send(operation, Request("GET", path_of(operation), tuple(query.items()), headers))
        demand(response.status == 200, f"{operation.id} got {describe(response)}")
        return response.json()

    create.rewind()
    cursor = _drain(get, feed, "", {})
    copy = {r["id"]: r for r in get(listing, limit="200")["data"]}
    for _ in _random_writes(lab, create, headers):
        # What the copy has taken over must also go: a feed that is read once, at the end, would not show it.
        cursor = _drain(get, feed, cursor, copy)
    present = {r["id"]: r for r in get(listing, limit="200")["data"]}
    demand(
        copy == present, f"mirror and list differ in {sorted(k for k in {*copy, *present} if copy.get(k) != present.get(k))[:3]}"
    )


def _drain(get: Callable[..., Any], feed: Operation, cursor: str, copy: dict[str, Any]) -> str:
    last = 0
    for _ in range(200):
        page = get(feed, limit="50", **({"cursor": cursor} if cursor else {}))
        for entry in page["data"]:
            demand(entry["sequence"] > last, "the feed's sequence doesn't rise")
            last = entry["sequence"]
            if entry["type"] in ("deleted", "merged"):
                copy.pop(entry["id"], None)
            elif "record" in entry:
                copy[entry["id"]] = entry["record"]
        cursor = page["next_cursor"]
        if not page["has_more"]:
            return str(cursor)
    raise Broken("the feed has no end")


#: Ends of the names of members whose values tell records apart.
_NAMING = ("name", "email", "code", "sku", "key")


def varied(body: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return a body with a number in each member that tells records apart."""

    def vary(text: str) -> str:
        if "@" in text:
            return f"n{number}.{text}"
        return f"{text[:70]} {number}" if " " in text or text[:1].isupper() else f"{text[:50]}_{number}"

    return {k: vary(v) if isinstance(v, str) and k.endswith(_NAMING) else v for k, v in body.items()}


def repeatable(lab: Lab, operation: Operation, headers: dict[str, str]) -> Case:
    """Return the smallest creation that can be made over and over.

    :raises Broken: If there is none.
    """
    own = [e for e in lab.contract.exchanges.values() if e.operation == operation.id and e.succeeds]
    for exchange in sorted((e for e in own if isinstance(e.request.body, dict)), key=lambda e: len(orjson.dumps(e.request.body))):
        case = lab.stage(exchange)
        case.rewind()
        if all(lab.send(operation, creation(case, headers, number)).status == 201 for number in (1, 2)):
            return case
    raise Broken(f"no exchange of {operation.id} can be repeated with other names")


def creation(case: Case, headers: dict[str, str], number: int) -> Request:
    """Return a creation of one more record, told apart from others by a number."""
    place = filled(case.operation.url_path, case.path_values())
    return Request("POST", place, (), headers, orjson.dumps(varied(case.body, number)))


def _random_writes(lab: Lab, case: Case, headers: dict[str, str]) -> Iterator[None]:
    """Make 200 writes with a fixed seed: creations, changes, deletions and restorations; stop after each ten.

    :param case: The creation that is repeated.
    """
    dice = random.Random(8640)
    has = {o.behaviour: o for o in lab.contract.operations.values() if o.resource == case.operation.resource}
    place = filled(case.operation.url_path, case.path_values())
    changed = next((k for k in case.body if k.endswith(_NAMING)), "")
    ids: list[str] = []
    for number in range(200):
        choice = dice.choice(["create", "create", "update", "delete", "restore"])
        if choice == "create" or not ids:
            response = lab.send(case.operation, creation(case, headers, number + 10))
            if response.status == 201:
                ids.append(response.json()["id"])
        elif choice in has:
            path = f"{place}/{dice.choice(ids)}" + ("/restore" if choice == "restore" else "")
            change = orjson.dumps({changed: f"Changed {number}"}) if choice == "update" else b""
            patch = {**headers, "content-type": "application/merge-patch+json"} if choice == "update" else headers
            lab.send(has[choice], Request(has[choice].method, path, (), patch, change))
        if number % 10 == 9:
            yield


@finds("rule-removed")
def rule_removed(lab: Lab) -> Iterator[tuple[str, Callable[[], None]]]:
    """Without a business rule, an exchange that raises its code no longer gets its answer."""
    for resource in lab.contract.resources.values():
        for rule in resource.rules:
            yield f"{resource.collection} {rule.id}", _removal(lab, resource, rule.id, rule.error)


def _removal(lab: Lab, resource: Resource, id: str, code: str) -> Callable[[], None]:
    def check() -> None:
        service = lab.contract.services[resource.service]
        field = next(r for r in resource.rules if r.id == id).options.get("field", "")
        mine = [e for e in service.exchanges.values() if not e.succeeds and e.recorded and _raises(e.recorded.body, code, field)]
        if not mine:
            raise Broken(f"no recorded exchange of {resource.service} raises {code}{f' at {field}' if field else ''}")
        without = _without(lab.contract, service, resource, id)
        engine = Engine(without, limits=False)
        replayer = Replayer(without, engine)
        for exchange in mine:
            try:
                replayer.prepare(without.exchanges[exchange.id])
                answer = engine.handle(request_of(replayer.compose(exchange)))
            except Exception:
                return  # Anything but the documented refusal shows that the rule made the difference.
            if answer.status != exchange.status or not _raises(answer.json(), code, field):
                return
        raise Broken(f"with the rule removed, every exchange that raises {code} still gets it; one must break this rule alone")

    return check


def _raises(body: Any, code: str, field: str) -> bool:
    """Tell whether a problem has a code, at a field where one is named."""
    if not isinstance(body, dict):
        return False
    entries = [e for e in body.get("errors", ()) if e["code"] == code]
    if field and entries:
        return any(str(e.get("pointer", "")).endswith(f"/{field.replace('.', '/')}") for e in entries)
    return body.get("code") == code or bool(entries)


def _without(contract: Contract, service: Service, resource: Resource, rule: str) -> Contract:
    less = replace(resource, rules=tuple(r for r in resource.rules if r.id != rule))
    changed = replace(service, resources={**service.resources, resource.collection: less})
    return replace(contract, services={**contract.services, service.slug: changed})


@law("dangling-reference")
def dangling_reference(lab: Lab, subject: str) -> None:
    """An ID of nobody, or of another tenant, is refused where a record must be named."""
    resource, field, code = _reference(lab, subject)
    behaviours = ("create", "update")
    writers = {o.id for o in lab.contract.operations.values() if o.resource == resource.collection and o.behaviour in behaviours}
    sends = [e for e in lab.contract.exchanges.values() if e.operation in writers and e.succeeds and _sends(e.request.body, field)]
    if not sends:
        raise Skipped(f"no exchange that succeeds sends {field}")
    case = lab.stage(sends[0])
    sent = case.body[field]
    nobody = f"{sent[:-2]}ZZ" if isinstance(sent, str) else [*sent[:-1], f"{sent[-1][:-2]}ZZ"]
    response = case.send({**case.body, field: nobody})
    said = {code_of(response), *(e["code"] for e in entries_of(response))}
    demand(bool(said & {code, "invalid_reference"}), f"{field} of nobody got {describe(response)}")


def _sends(body: Any, field: str) -> bool:
    value = body.get(field) if isinstance(body, dict) else None
    return isinstance(value, str) or (isinstance(value, list) and bool(value))


def _reference(lab: Lab, subject: str) -> tuple[Resource, str, str]:
    collection, _, id = subject.partition(" ")
    resource = lab.contract.resources[collection]
    rule = next(r for r in resource.rules if r.id == id)
    return resource, rule.options["field"], rule.error


@law("on-delete")
def on_delete(lab: Lab, subject: str) -> None:
    """When the target is deleted, what refers to it is refused, cleared, taken along or kept, as the rule says."""
    collection, _, id = subject.partition(" ")
    resource = lab.contract.resources[collection]
    rule = next(r for r in resource.rules if r.id == id)
    field, target, effect = rule.options["field"], rule.options["target"], rule.options["on_delete"]
    lab.engine.reset()
    principal = lab.administrator()
    tenant = lab.contract.principals[principal].tenant
    store = lab.engine.world.store
    if not store.select(tenant, collection, limit=1):
        _created(lab, collection)
    holders, targets = store.select(tenant, collection), store.select(tenant, target)
    deletes = next((o for o in lab.contract.operations.values() if o.resource == target and o.behaviour == "delete"), None)
    if not holders or not targets or deletes is None:
        raise Skipped(f"the world has no record of {collection} and {target}, or {target} can't be deleted")
    holder = holders[-1]
    # Some records can't be deleted whatever refers to them: roles of the platform, stages with deals.
    for aim in [t for t in targets if t.id != holder.id] or targets[:1]:
        store.put(tenant, Record(collection, holder.id, holder.version, {**holder.doc, field: aim.id}))
        path = f"/v1{lab.contract.resources[target].path}/{aim.id}"
        response = lab.send(deletes, Request("DELETE", path, (), {"authorization": lab.full_bearer(principal)}))
        if response.status != 422 and (response.status != 409 or effect == "restrict"):
            break
    after = store.get(tenant, collection, holder.id)
    if effect == "restrict":
        demand(response.status == 409, f"the deletion got {describe(response)}, though {holder.id} holds on to it")
        return
    demand(response.status == 204, f"the deletion got {describe(response)}")
    if effect == "cascade":
        demand(after is None, "what referred to the deleted record is still there")
    else:
        demand(after is not None, "what referred to the deleted record is gone")
        kept = after.doc.get(field) if after else None
        demand((kept == aim.id) is (effect == "keep"), f"{field} is {kept} after the deletion, and the rule says {effect}")
