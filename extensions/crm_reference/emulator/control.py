"""The control API under ``/_emulator``: clock, events, deliveries, faults and tokens, for tests, doctests and curious readers.

It stands outside ``/v1`` and belongs to the emulator alone: no service has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from crm_reference.emulator.messages import Problem, Request, Response
from crm_reference.emulator.store import StoreError

if TYPE_CHECKING:
    from crm_reference.emulator.engine import Engine

#: Collection of the messages that services hand to notifications.
MAILS = "outgoing-mails"

_Action = Callable[["Engine", Mapping[str, Any]], Any]


def handle(engine: Engine, request: Request, /) -> Response:
    """Answer a control request: JSON in, JSON out; 404 with the list of routes where there is none."""
    action = _ROUTES.get((request.method, request.path.rstrip("/")))
    if action is None:
        routes = [f"{method} {path}" for method, path in _ROUTES]
        return _json(404, {"error": f"no control route {request.method} {request.path}", "routes": routes})
    try:
        asked = {**dict(request.query), **(orjson.loads(request.body) if request.body else {})}
        return _json(200, action(engine, asked))
    except KeyError as error:
        return _json(400, {"error": f"{error.args[0]} is missing"})
    except (ValueError, TypeError, AttributeError, Problem, StoreError) as error:
        return _json(400, {"error": str(error).encode("utf-8", "replace").decode() or type(error).__name__})


def _status(engine: Engine, asked: Mapping[str, Any]) -> Any:
    return {
        "world": engine.world_name,
        "clock": engine.clock.now(),
        "services": sorted(engine.contract.services),
        "operations": len(engine.contract.operations),
        "principals": {name: p.text for name, p in engine.contract.principals.items()},
        "events": engine.world.store.last_event(),
        "deliveries": len(engine.deliveries),
    }


def _advance(engine: Engine, asked: Mapping[str, Any]) -> Any:
    engine.advance(int(asked["seconds"]))
    return {"clock": engine.clock.now()}


def _pause(engine: Engine, asked: Mapping[str, Any]) -> Any:
    return _set_paused(engine, paused=True)


def _resume(engine: Engine, asked: Mapping[str, Any]) -> Any:
    return _set_paused(engine, paused=False)


def _set_paused(engine: Engine, *, paused: bool) -> Any:
    if engine.clock.kind == "real":
        raise ValueError("a real clock can't be paused; start with --clock world")
    engine.clock.paused = paused
    return {"clock": engine.clock.now(), "is_paused": paused}


def _reset(engine: Engine, asked: Mapping[str, Any]) -> Any:
    engine.reset()
    return {"clock": engine.clock.now()}


def _events(engine: Engine, asked: Mapping[str, Any]) -> Any:
    wanted = asked.get("type")
    return {"data": [e for e in engine.outbox if not wanted or e["type"] == wanted]}


def _deliver(engine: Engine, asked: Mapping[str, Any]) -> Any:
    engine.deliver(asked)
    return {"delivered": asked["type"]}


def _deliveries(engine: Engine, asked: Mapping[str, Any]) -> Any:
    wanted = asked.get("event_type")
    return {"data": [d for d in engine.deliveries if not wanted or d["event_type"] == wanted]}


def _fault(engine: Engine, asked: Mapping[str, Any]) -> Any:
    unknown = sorted(asked.keys() - {"dependency", "kind", "seconds"})
    if unknown:
        raise ValueError(f"a fault has dependency, kind and seconds, and no {unknown[0]}")
    engine.fault(str(asked["dependency"]), str(asked.get("kind", "down")), int(asked.get("seconds", 0)))
    return {"faults": {name: fault.kind for name, fault in engine.world.faults.items()}}


def _heal(engine: Engine, asked: Mapping[str, Any]) -> Any:
    engine.heal()
    return {"faults": {}}


def _token(engine: Engine, asked: Mapping[str, Any]) -> Any:
    name = str(asked.get("principal", "maya"))
    if name not in engine.contract.principals:
        raise ValueError(f"there is no principal {name!r}; there are " + ", ".join(engine.contract.principals))
    options: dict[str, Any] = {}
    if "scope" in asked:
        options["scopes"] = str(asked["scope"]).split()
    if "expires_in" in asked:
        options["expires_in"] = int(asked["expires_in"])
    return {"principal": name, "access_token": engine.token(name, **options), "token_type": "Bearer"}


def _mails(engine: Engine, asked: Mapping[str, Any]) -> Any:
    """Return what was sent by mail, oldest first: codes and links that no operation shows."""
    store, wanted = engine.world.store, asked.get("to")
    mails = [m.doc for tenant in store.tenants(MAILS) for m in store.select(tenant, MAILS)] if store.has(MAILS) else []
    return {"data": sorted((m for m in mails if not wanted or m["to"] == wanted), key=lambda m: str(m["id"]))}


_ROUTES: Mapping[tuple[str, str], _Action] = {
    ("GET", "/_emulator"): _status,
    ("POST", "/_emulator/clock/advance"): _advance,
    ("POST", "/_emulator/clock/pause"): _pause,
    ("POST", "/_emulator/clock/resume"): _resume,
    ("POST", "/_emulator/reset"): _reset,
    ("GET", "/_emulator/events"): _events,
    ("POST", "/_emulator/events"): _deliver,
    ("GET", "/_emulator/deliveries"): _deliveries,
    ("GET", "/_emulator/mails"): _mails,
    ("POST", "/_emulator/faults"): _fault,
    ("DELETE", "/_emulator/faults"): _heal,
    ("GET", "/_emulator/token"): _token,
}


def _json(status: int, data: Any) -> Response:
    return Response(status, {"Content-Type": "application/json"}, orjson.dumps(data))
