"""What the tenant uses of its plan."""

from __future__ import annotations

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import credentials, keyring
from crm_reference.emulator.tokens import KEYS


@handles("getAuthenticationUsage")
def usage(call: Call) -> Reply:
    """Count what holds, beside what the plan includes."""
    store, tenant, now = call.world.store, call.tenant, call.now

    def living(collection: str) -> int:
        return sum(credentials.state_of(r.doc, now) == "active" for r in store.select(tenant, collection))

    counted = (
        ("oauth_clients", store.count(tenant, "oauth-clients"), 100),
        ("service_accounts", store.count(tenant, "service-accounts"), 100),
        ("api_keys", living(credentials.API_KEYS), 200),
        ("personal_tokens", living(credentials.PERSONAL_TOKENS), 2000),
        ("signing_keys", sum(keyring.verifies(r.doc, now) for r in store.select(tenant, KEYS)), 10),
        ("active_sessions", store.count(tenant, "sessions", "doc->>'$.status' = 'active'"), 10_000),
    )
    items = [{"name": name, "used": used, "limit": limit} for name, used, limit in counted]
    return Reply(200, {"measured_at": now, "items": items})
