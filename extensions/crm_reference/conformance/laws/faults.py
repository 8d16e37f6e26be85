"""When things fail: the store, a neighbour, time; and what health says of it."""

from __future__ import annotations

from collections.abc import Mapping

from crm_reference.conformance.laws.lab import Broken, Case, Lab, Skipped, code_of, demand, describe, law
from crm_reference.contract import Exchange, Operation, Service
from crm_reference.emulator import Request, Response
from crm_reference.trace.subjects import model_exchange

DATABASE = "database"


@law("injected-fault")
def injected_fault(lab: Lab, operation: str) -> None:
    """While the store fails: 500; while it is down: 503 with Retry-After; nothing changes either way."""
    case = lab.any_case(operation)
    if case.operation.policy == "health":
        return _health_survives(lab, case)
    for kind, code in (("error", "internal_error"), ("down", "unavailable")):
        case.rewind()
        before = lab.state()
        lab.engine.fault(DATABASE, kind)
        response = lab.send(case.operation, case.altered())
        demand(code_of(response) == code, f"{code} was expected while the store is {kind}, and {describe(response)} came")
        demand(kind == "error" or "Retry-After" in response.headers, "503 has no Retry-After")
        demand(lab.state() == before, "the state changed")
    return None


def _health_survives(lab: Lab, case: Case) -> None:
    case.rewind()
    lab.engine.fault(DATABASE, "down")
    response = lab.send(case.operation, case.altered())
    if case.operation.behaviour == "liveness":
        demand(response.status == 200, f"liveness answered {describe(response)} while the store is down")


@law("failure-changes-nothing")
def failure_changes_nothing(lab: Lab, exchange: str) -> None:
    """A refused request leaves state and outbox as they were, unless its author says which events the refusal itself emits."""
    case = lab.stage(lab.contract.exchanges[exchange])
    case.rewind()
    before = lab.state()
    response = lab.send(case.operation, lab_request(lab, case))
    demand(response.status == case.exchange.status, f"{case.exchange.status} was expected, and {describe(response)} came")
    # Reuse of a refresh token ends its family, too many wrong passwords lock an account: there the refusal is an act.
    if "events" not in case.exchange.expect:
        demand(lab.state() == before, "the state changed")


def lab_request(lab: Lab, case: Case) -> Request:
    """Return a case's request with the Idempotency-Key that its author wrote, kept answers included."""
    key = next((v for n, v in case.exchange.request.headers.items() if n.lower() == "idempotency-key"), None)
    if key is None:
        return case.altered()
    # Kept answers don't survive a rewind: what stands in `given` is done again.
    lab.engine.clock.paused = False
    lab.replayer.prepare(case.exchange)
    lab.engine.clock.paused = True
    return case.altered(headers={"idempotency-key": str(key)})


@law("retry")
def retry(lab: Lab, exchange: str) -> None:
    """What is called retryable succeeds later; what isn't fails again with the same code."""
    case = lab.stage(lab.contract.exchanges[exchange])
    case.rewind()
    request = lab_request(lab, case)
    first = lab.send(case.operation, request)
    code = code_of(first)
    if not code:
        return  # A readiness report is no problem: readiness-turns watches it.
    if not lab.contract.errors[code].retryable:
        again = lab.send(case.operation, request)
        # A refusal that is an act, as one that uses a state up, is refused for another reason when it comes again.
        refused = "events" in case.exchange.expect and again.status >= 400
        demand(refused or code_of(again) == code, f"{code} is not retryable, and the second try got {describe(again)}")
        return
    lab.engine.heal()
    wait = int(first.headers.get("Retry-After", "60"))
    for _ in range(20):
        lab.engine.advance(wait)
        again = lab.send(case.operation, request)
        if lab.accepted(case.operation, again):
            return
    raise Broken(f"{code} is retryable, and after {20 * wait} seconds there came {describe(again)}")


@law("timeout")
def timeout(lab: Lab, policy: str) -> None:
    """A store that is slower than the policy's timeout: 503 ``timeout``, and nothing changes; faster: the usual answer."""
    name = policy.partition(" ")[2]
    limit = lab.contract.policies[name].timeout_seconds
    case = _case_of_policy(lab, name)
    usual = case.send().status
    for delay, expected in ((limit + 1, 503), (max(0, limit - 1), usual)):
        case.rewind()
        before = lab.state()
        lab.engine.fault(DATABASE, "slow", delay)
        response = lab.send(case.operation, case.altered())
        demand(response.status == expected, f"{expected} was expected after {delay} seconds, and {describe(response)} came")
        if expected == 503:
            demand(code_of(response) == "timeout", f"timeout was expected, and {describe(response)} came")
            demand(lab.state() == before, "the state changed")


def _case_of_policy(lab: Lab, policy: str) -> Case:
    for operation in lab.contract.operations.values():
        if operation.policy == policy and operation.behaviour not in ("liveness", "readiness"):
            found = model_exchange(lab.contract, operation)
            if found is not None:
                return lab.stage(found)
    raise Skipped(f"no operation of the class {policy} has an exchange that succeeds")


@law("dependency-down")
def dependency_down(lab: Lab, subject: str) -> None:
    """A neighbour's absence is answered as its mode says."""
    service, dependency = _edge(lab, subject)
    if dependency == DATABASE:
        needs = [e for e in service.exchanges.values() if e.succeeds and _operation(lab, e).policy != "health"]
        if not needs:
            raise Skipped(f"no exchange of {service.slug} needs its store")
        case = lab.stage(next((e for e in needs if _operation(lab, e).method != "GET"), needs[0]))
        case.rewind()
        lab.engine.fault(DATABASE)
        response = lab.send(case.operation, case.altered())
        demand(code_of(response) == "unavailable", f"unavailable was expected, and {describe(response)} came")
        return
    edges = [c for c in service.manifest.calls if c.service == dependency]
    for edge in edges:
        for used_by in edge.used_by:
            _without(lab, lab.model(used_by), dependency, edge.mode)


def _without(lab: Lab, case: Case, dependency: str, mode: str) -> None:
    case.rewind()
    lab.engine.fault(dependency)
    response = lab.send(case.operation, case.altered())
    if mode == "required":
        demand(code_of(response) == "unavailable", f"{case.operation.id} needs {dependency}, and got {describe(response)}")
        return
    demand(lab.accepted(case.operation, response), f"{case.operation.id} can do without {dependency}, and got {describe(response)}")
    location = response.headers.get("Location", "")
    if mode == "async" and response.status == 202 and location:
        lab.engine.advance(300)
        waiting = _job(lab, case, location)
        lab.engine.heal()
        lab.engine.advance(300)
        done = _job(lab, case, location)
        demand(waiting in ("queued", "running"), f"the job is {waiting} while {dependency} is down")
        demand(done == "succeeded", f"the job is {done} after {dependency} came back")


def _job(lab: Lab, case: Case, location: str) -> str:
    response = lab.engine.handle(Request("GET", location, (), case.request.headers))
    return str(response.json().get("status"))


@law("readiness-turns")
def readiness_turns(lab: Lab, subject: str) -> None:
    """Readiness turns and names a required dependency that is down; the health report shows each."""
    service, dependency = _edge(lab, subject)
    modes = {c.mode for c in service.manifest.calls if c.service == dependency} or {"required"}
    lab.engine.reset()
    lab.engine.fault(dependency)
    ready, report = _ask(lab, service, "readiness"), _ask(lab, service, "health")
    if "required" in modes:
        demand(ready.status == 503 and dependency in ready.json().get("failing", ()), f"readiness says {describe(ready)}")
    else:
        demand(ready.status == 200, f"readiness says {describe(ready)}")
    states: Mapping[str, str] = {d["name"]: d["status"] for d in report.json()["dependencies"]}
    demand(states.get(dependency) == "down", f"the health report says of {dependency}: {states.get(dependency)}")
    demand(report.json()["status"] == ("down" if "required" in modes else "degraded"), f"the report says {describe(report)}")
    lab.engine.heal()
    demand(_ask(lab, service, "readiness").status == 200, "readiness doesn't come back")


@law("liveness-stays")
def liveness_stays(lab: Lab, subject: str) -> None:
    """Liveness is 200 whatever is down."""
    service, dependency = _edge(lab, subject)
    lab.engine.reset()
    lab.engine.fault(dependency)
    response = _ask(lab, service, "liveness")
    demand(response.status == 200 and response.json()["status"] == "up", f"liveness says {describe(response)}")


def _ask(lab: Lab, service: Service, behaviour: str) -> Response:
    operation = next((o for o in service.operations if o.behaviour == behaviour), None)
    if operation is None:
        raise Broken(f"{service.slug} has no operation for {behaviour}")
    headers = {} if operation.public else {"authorization": lab.full_bearer(lab.administrator())}
    return lab.send(operation, Request("GET", operation.url_path, (), headers))


def _edge(lab: Lab, subject: str) -> tuple[Service, str]:
    slug, _, dependency = subject.partition(" needs ")
    return lab.contract.services[slug], dependency


def _operation(lab: Lab, exchange: Exchange) -> Operation:
    return lab.operation(exchange.operation)
