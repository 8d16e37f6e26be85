"""Faults to plant in the emulator, each under the law that must find it: what an implementer gets wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from crm_reference.contract import Contract, deployment
from crm_reference.contract.validation import Validators
from crm_reference.emulator import Problem, engine, holders, parsing, query, registry, rules
from crm_reference.emulator.behaviours import BEHAVIOURS, operate
from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.engine import Engine
from crm_reference.emulator.events import Outbox
from crm_reference.emulator.idempotency import Idempotency
from crm_reference.emulator.limits import Limits
from crm_reference.emulator.records import Records
from crm_reference.emulator.store import Record, Store
from crm_reference.emulator.tokens import Tokens

Patch = pytest.MonkeyPatch
#: Plants a fault; the contract is that of the unmutated project.
Fault = Callable[[Patch, Contract], None]

FAULTS: dict[str, Fault] = {}


def fault(*laws: str) -> Callable[[Fault], Fault]:
    """Register a fault under each law that it must break."""

    def register(function: Fault) -> Fault:
        FAULTS.update(dict.fromkeys(laws, function))
        return function

    return register


def _around(patch: Patch, name: str, change: Callable[[Call, Reply], Reply | None]) -> None:
    """Change what a generic behaviour answers."""
    usual = BEHAVIOURS[name]

    def behave(call: Call) -> Reply:
        reply = usual(call)
        return change(call, reply) or reply

    patch.setitem(BEHAVIOURS, name, behave)  # type: ignore[arg-type]  # a Mapping to its readers


def _forgets(code: str) -> Fault:
    """Let validation overlook one kind of breach."""

    def plant(patch: Patch, contract: Contract) -> None:
        usual = Validators.errors
        patch.setattr(Validators, "errors", lambda self, node, value: [e for e in usual(self, node, value) if e.code != code])

    return plant


FAULTS["required-absent"] = _forgets("required")
FAULTS["wrong-type"] = _forgets("wrong_type")
FAULTS["outside-bounds"] = _forgets("out_of_range")
FAULTS["hostile-read-only"] = _forgets("unknown_field")
FAULTS["hostile-url"] = _forgets("invalid_format")


# -- who may call --------------------------------------------------------------------------------------------------------


@fault("no-token")
def calls_every_token_invalid(patch: Patch, contract: Contract) -> None:
    usual = Tokens.verify
    patch.setattr(Tokens, "verify", lambda self, sent, now, address: usual(self, sent or "Bearer none", now, address))


@fault("expired-token")
def lets_tokens_live_a_little_longer(patch: Patch, contract: Contract) -> None:
    usual = Tokens.verify
    patch.setattr(Tokens, "verify", lambda self, sent, now, address: usual(self, sent, now - 10, address))


@fault("other-scopes")
def forgets_scopes(patch: Patch, contract: Contract) -> None:
    patch.setattr(
        Engine, "_identify", lambda self, operation, request, now: self.tokens.verify(request.headers.get("authorization"), now)
    )


@fault("public-without-token")
def guards_the_probes(patch: Patch, contract: Contract) -> None:
    forgets_scopes(patch, contract)
    patch.setattr(engine, "_PROBES", ())


@fault("precedence")
def reads_any_media_type(patch: Patch, contract: Contract) -> None:
    def read(operation: Any, request: Any, limit: int) -> Any:
        media = next(iter(operation.body.media)) if operation.body else ""
        return parsing.parse_body(operation, replace(request, headers={**request.headers, "content-type": media}), limit)

    patch.setattr(engine, "parse_body", read)


# -- bodies --------------------------------------------------------------------------------------------------------------


def _validates(patch: Patch, check: Callable[[Any], Any]) -> None:
    """Look at a body before it is validated; what ``check`` returns is validated in its place."""
    usual = engine.validate_body

    def validate(validators: Any, operation: Any, request: Any, data: Any, **options: Any) -> Any:
        return usual(validators, operation, request, check(data) if isinstance(data, dict) else data, **options)

    patch.setattr(engine, "validate_body", validate)


def _refuse(name: str, code: str) -> Problem:
    return Problem("validation_failed", "1 field is not valid.", [{"pointer": f"#/{name}", "code": code, "detail": "is wrong"}])


@fault("minimal-body")
def demands_what_the_schema_does_not(patch: Patch, contract: Contract) -> None:
    def check(data: Any) -> Any:
        if "name" in data and "length_metres" not in data:
            raise _refuse("length_metres", "required")
        return data

    _validates(patch, check)


@fault("null-value")
def takes_null_for_absent(patch: Patch, contract: Contract) -> None:
    _validates(patch, lambda data: {k: v for k, v in data.items() if v is not None})


@fault("inside-bounds")
def excludes_the_bound(patch: Patch, contract: Contract) -> None:
    def check(data: Any) -> Any:
        if data.get("length_metres") == 500:
            raise _refuse("length_metres", "out_of_range")
        return data

    _validates(patch, check)


# -- when things fail ----------------------------------------------------------------------------------------------------


@fault("injected-fault", "timeout")
def hides_what_the_store_does(patch: Patch, contract: Contract) -> None:
    patch.setattr(Engine, "_suffer", lambda self, operation, policy: None)


@fault("failure-changes-nothing")
def writes_down_refusals(patch: Patch, contract: Contract) -> None:
    usual = Engine._answer

    def answer(self: Engine, *arguments: Any) -> Reply:
        try:
            return usual(self, *arguments)
        except Problem:
            self.world.store.log("ten", Record("berths", "ber_1", 1, {}), "refused", "", "", {})
            raise

    patch.setattr(Engine, "_answer", answer)


@fault("retry")
def gives_in_to_the_second_try(patch: Patch, contract: Contract) -> None:
    usual, tries = rules._CHECKS["unique"], list[int]()

    def unique(*arguments: Any) -> tuple[str, str] | None:
        found = usual(*arguments)
        tries.append(1)
        return found if len(tries) % 2 else None

    patch.setitem(rules._CHECKS, "unique", unique)  # type: ignore[arg-type]  # a Mapping to its readers


@fault("dependency-down")
def fails_with_any_neighbour(patch: Patch, contract: Contract) -> None:
    def ask(self: Context, service: str, operation: str) -> bool:
        if service in self.world.faults:
            raise Problem("unavailable", "It can't be reached.", headers={"Retry-After": "5"})
        return True

    patch.setattr(Context, "ask", ask)


@fault("readiness-turns")
def is_always_ready(patch: Patch, contract: Contract) -> None:
    usual = operate.dependencies
    patch.setattr(operate, "dependencies", lambda call: [{**d, "status": "up"} for d in usual(call)])


@fault("liveness-stays")
def dies_with_the_store(patch: Patch, contract: Contract) -> None:
    def live(call: Call) -> Reply:
        if "database" in call.world.faults:
            raise Problem("unavailable", "The store is down.", headers={"Retry-After": "5"})
        return Reply(200, {"status": "up"})

    patch.setitem(BEHAVIOURS, "liveness", live)  # type: ignore[arg-type]  # a Mapping to its readers


# -- hostile requests, limits --------------------------------------------------------------------------------------------


@fault("hostile-id")
def finds_some_record_for_any_id(patch: Patch, contract: Contract) -> None:
    usual = Store.get

    def get(self: Store, tenant: str, collection: str, id: str, *, deleted: bool = False) -> Record | None:
        return usual(self, tenant, collection, id, deleted=deleted) or next(iter(self.select(tenant, collection)), None)

    patch.setattr(Store, "get", get)


@fault("hostile-file")
def takes_any_file(patch: Patch, contract: Contract) -> None:
    patch.setitem(registry.HANDLERS, "setHarbourPlan", lambda call: Reply(204))


@fault("rate-limit")
def forgets_when_to_come_back(patch: Patch, contract: Contract) -> None:
    usual = Limits.spend

    def spend(self: Limits, *arguments: Any) -> dict[str, str]:
        try:
            return usual(self, *arguments)
        except Problem as problem:
            raise Problem(problem.code, problem.detail, headers={**problem.headers, "Retry-After": "0"}) from None

    patch.setattr(Limits, "spend", spend)


@fault("payload-limit")
def reads_bodies_of_any_size(patch: Patch, contract: Contract) -> None:
    patch.setattr(engine, "parse_body", lambda operation, request, limit: parsing.parse_body(operation, request, 0))


# -- seen from behind ----------------------------------------------------------------------------------------------------


@fault("metrics-parse")
def ends_its_metrics_early(patch: Patch, contract: Contract) -> None:
    _around(patch, "metrics", lambda call, reply: replace(reply, body=reply.body.removesuffix("# EOF\n")))


@fault("metric-moves")
def counts_nothing(patch: Patch, contract: Contract) -> None:
    patch.setattr(Engine, "_note", lambda self, operation, status: None)


@fault("own-writes")
def writes_for_a_neighbour(patch: Patch, contract: Contract) -> None:
    def before(call: Call) -> Reply:
        call.service = "tides"
        return usual(call)

    usual = registry.HANDLERS["reserveBerth"]
    patch.setitem(registry.HANDLERS, "reserveBerth", before)


@fault("call-seen")
def asks_nobody(patch: Patch, contract: Contract) -> None:
    patch.setattr(Context, "ask", lambda self, service, operation: True)


@fault("declared-status")
def answers_what_nobody_declared(patch: Patch, contract: Contract) -> None:
    _around(patch, "count", lambda call, reply: replace(reply, status=202))


@fault("deployment-files")
def sets_no_variables(patch: Patch, contract: Contract) -> None:
    usual = deployment.compose

    def compose(service: Any) -> dict[str, Any]:
        entries = usual(service)["services"]
        return {"services": {name: {**entry, "environment": {}} for name, entry in entries.items()}}

    patch.setattr(deployment, "compose", compose)


@fault("hearing-matters")
def is_deaf(patch: Patch, contract: Contract) -> None:
    patch.setitem(registry.LISTENERS, "crm.tide.turned.v1", [])


@fault("duplicate-delivery")
def counts_deliveries(patch: Patch, contract: Contract) -> None:
    def hear(context: Context, event: Mapping[str, Any]) -> None:
        berth = context.records.peek("berths", event["data"]["berth_id"])
        assert berth is not None
        context.records.change(berth, {"length_metres": berth.doc["length_metres"] + 1})

    hear.__module__ = "crm_reference.emulator.services.berths.hearing"
    patch.setitem(registry.LISTENERS, "crm.tide.turned.v1", [hear])
    remembers = Outbox.hand_on

    def hand_on(self: Outbox, context: Context, event: Mapping[str, Any]) -> None:
        self.forget()
        remembers(self, context, event)

    patch.setattr(Outbox, "hand_on", hand_on)


@fault("reordered-delivery")
def follows_whatever_comes(patch: Patch, contract: Contract) -> None:
    patch.setattr(Outbox, "_is_overtaken", lambda self, service, event: False)


# -- lists ---------------------------------------------------------------------------------------------------------------


@fault("pages-walk")
def loses_the_last_of_a_page(patch: Patch, contract: Contract) -> None:
    def shorten(call: Call, reply: Reply) -> Reply:
        data = reply.body["data"]
        return replace(reply, body={**reply.body, "data": data[:-1] if reply.body["has_more"] and len(data) == 1 else data})

    _around(patch, "list", shorten)


@fault("pages-while-writing")
def counts_places_instead_of_records(patch: Patch, contract: Contract) -> None:
    usual = BEHAVIOURS["list"]

    def page(call: Call) -> Reply:
        limit, cursor = call.query["limit"], call.query.pop("cursor", "")
        start = call.world.cursors.read(cursor, "", call.world.clock.time())[0][0] if cursor else 0
        call.query["limit"] = 200
        whole = usual(call).body["data"]
        body = {"data": whole[start : start + limit], "has_more": len(whole) > start + limit}
        if not body["has_more"]:
            return Reply(200, body)
        body["next_cursor"] = call.world.cursors.make([start + limit], "", "", call.world.clock.time())
        return Reply(200, body, {"Link": "<next>"})

    patch.setitem(BEHAVIOURS, "list", page)  # type: ignore[arg-type]  # a Mapping to its readers


@fault("tenant-cursor")
def takes_anybodys_cursor(patch: Patch, contract: Contract) -> None:
    patch.setattr(query, "_scope", lambda scope: "any")


# -- records -------------------------------------------------------------------------------------------------------------


@fault("read-your-write", "baseline-exchange")
def shows_less_than_it_took(patch: Patch, contract: Contract) -> None:
    def without_tags(call: Call, reply: Reply) -> None:
        if reply.body:
            reply.body.pop("tags", None)
            reply.body["name"] = "A berth"

    _around(patch, "read", without_tags)


@fault("delete-then-404")
def deletes_nothing(patch: Patch, contract: Contract) -> None:
    patch.setattr(Records, "delete", lambda self, record, **options: None)


@fault("restore")
def restores_a_part(patch: Patch, contract: Contract) -> None:
    _around(patch, "restore", lambda call, reply: reply.body.pop("tags", None) and None)


@fault("stale-if-match")
def ignores_if_match(patch: Patch, contract: Contract) -> None:
    patch.setattr(Engine, "_check_precondition", lambda self, call: None)


@fault("idempotent-replay")
def forgets_keys(patch: Patch, contract: Contract) -> None:
    patch.setattr(Idempotency, "look", lambda *arguments: None)


@fault("search-agrees")
def searches_in_vain(patch: Patch, contract: Contract) -> None:
    _around(patch, "search", lambda call, reply: replace(reply, body={"data": reply.body["data"][1:], "has_more": False}))


@fault("batch-agrees")
def batches_without_owners(patch: Patch, contract: Contract) -> None:
    _around(patch, "batch_create", lambda call, reply: [r["record"].pop("owner_id") for r in reply.body["results"]] and None)


@fault("mirror")
def keeps_deletions_to_itself(patch: Patch, contract: Contract) -> None:
    def sift(call: Call, reply: Reply) -> Reply:
        return replace(reply, body={**reply.body, "data": [e for e in reply.body["data"] if e["type"] != "deleted"]})

    _around(patch, "changes", sift)


@fault("rule-removed")
def knows_rules_by_heart(patch: Patch, contract: Contract) -> None:
    usual = rules.enforce

    def enforce(context: Context, resource: Any, new: Any, old: Any) -> None:
        usual(context, contract.resources[resource.collection], new, old)

    patch.setattr(rules, "enforce", enforce)


@fault("dangling-reference")
def looks_no_reference_up(patch: Patch, contract: Contract) -> None:
    patch.setitem(rules._CHECKS, "reference", lambda *arguments: None)  # type: ignore[arg-type]  # a Mapping to its readers


@fault("on-delete")
def leaves_references_behind(patch: Patch, contract: Contract) -> None:
    patch.setattr(holders, "release", lambda context, record: [])


# -- tenants and secrets -------------------------------------------------------------------------------------------------


@fault("tenant-path")
def reads_across_tenants(patch: Patch, contract: Contract) -> None:
    usual = Store.get

    def get(self: Store, tenant: str, collection: str, id: str, *, deleted: bool = False) -> Record | None:
        found = (usual(self, t, collection, id, deleted=deleted) for t in [tenant, *self.tenants(collection)])
        return next((r for r in found if r is not None), None)

    patch.setattr(Store, "get", get)


@fault("tenant-body")
def refers_across_tenants(patch: Patch, contract: Contract) -> None:
    def exists(context: Context, collection: str, id: str) -> bool:
        store = context.world.store
        return any(store.get(tenant, collection, id) for tenant in store.tenants(collection))

    patch.setattr(rules, "_exists", exists)


@fault("tenant-query")
def tells_foreign_ids_from_unknown_ones(patch: Patch, contract: Contract) -> None:
    usual = BEHAVIOURS["list"]

    def find(call: Call) -> Reply:
        asked = call.query.get("neighbour_id", "")
        if (
            asked
            and not call.records.peek("berths", asked)
            and any(call.world.store.get(tenant, "berths", asked) for tenant in call.world.store.tenants("berths"))
        ):
            raise Problem("malformed_parameter", "That berth is somebody else's.")
        return usual(call)

    patch.setitem(BEHAVIOURS, "list", find)  # type: ignore[arg-type]  # a Mapping to its readers


@fault("secret-hidden")
def shows_secrets(patch: Patch, contract: Contract) -> None:
    usual = engine.traits_of
    patch.setattr(engine, "traits_of", lambda known, resource: replace(usual(known, resource), hidden=frozenset()))


@fault("pii-masked")
def masks_nothing(patch: Patch, contract: Contract) -> None:
    patch.setattr(Records, "masked", lambda self, collection: frozenset())
