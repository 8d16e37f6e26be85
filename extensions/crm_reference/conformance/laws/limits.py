"""Quotas and sizes."""

from __future__ import annotations

from crm_reference.conformance.laws.lab import Lab, Skipped, code_of, demand, describe, law


@law("rate-limit")
def rate_limit(lab: Lab, operation: str) -> None:
    """Call N+1 of a window is 429; another client isn't limited; after Retry-After it succeeds."""
    case = lab.any_case(operation)
    policy = lab.contract.policies[case.operation.policy]
    engine = lab.engine
    if case.operation.behaviour in ("liveness", "readiness"):
        demand("429" not in case.operation.responses, "a probe must never be limited")
        return
    case.rewind()
    usual = lab.send(case.operation, case.altered())
    case.rewind()
    engine.limits.enabled = True
    try:
        principal = lab.contract.principals.get(case.exchange.principal)
        public = bool(case.operation.public)
        tenant, client = ("", "") if public or principal is None else (principal.tenant, principal.client)
        engine.limits.use(policy, tenant, client or case.request.address, policy.requests - 1, engine.clock.time())
        last = lab.send(case.operation, case.altered())
        demand(last.status == usual.status, f"call {policy.requests} got {describe(last)}")
        demand(
            last.headers.get("RateLimit", "").startswith(f'"{policy.name}";r=0;'), f"RateLimit is {last.headers.get('RateLimit')}"
        )
        over = lab.send(case.operation, case.altered())
        demand(code_of(over) == "rate_limited", f"call {policy.requests + 1} got {describe(over)}")
        wait = int(over.headers.get("Retry-After", "0"))
        demand(0 < wait <= policy.window_seconds, f"Retry-After is {wait}")
        if not public:
            other = lab.outsider(tenant)
            free = lab.send(case.operation, case.altered(headers={"authorization": lab.full_bearer(other)}))
            demand(code_of(free) != "rate_limited", "another client is limited too")
        engine.clock.advance(wait)
        again = lab.send(case.operation, case.altered())
        demand(code_of(again) != "rate_limited", f"after {wait} seconds there came {describe(again)}")
    finally:
        engine.limits.enabled = False


@law("payload-limit")
def payload_limit(lab: Lab, operation: str) -> None:
    """A body of exactly the policy's limit is read; one byte more is 413."""
    case = lab.any_case(operation)
    limit = lab.contract.policies[case.operation.policy].payload_limit_bytes
    if not case.request.body:
        raise Skipped("the exchange sends no body")
    full = case.request.body + b" " * (limit - len(case.request.body))
    response = case.send(content=full)
    demand(response.status != 413, f"{limit} bytes got {describe(response)}")
    case.rewind()
    before = lab.state()
    response = case.send(content=full + b" ")
    demand(code_of(response) == "content_too_large", f"{limit + 1} bytes got {describe(response)}")
    demand(lab.state() == before, "the state changed")
