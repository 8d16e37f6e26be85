"""Discovery: the metadata of the authorization server, of the OpenID provider and of the API, and the key set."""

from __future__ import annotations

from typing import Any

from crm_reference.emulator.call import Call, Reply
from crm_reference.emulator.registry import handles
from crm_reference.emulator.services.authentication import oauth_scopes
from crm_reference.emulator.services.authentication.issuing import OF_ID_TOKENS
from crm_reference.emulator.services.authentication.keyring import published_keys
from crm_reference.emulator.services.authentication.oauth_clients import ASSERTION_ALGORITHMS, GRANT_TYPES
from crm_reference.emulator.services.authentication.oauth_token import JWT_BEARER

PUBLIC = {"Cache-Control": "public, max-age=300"}
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
CLAIMS = (
    *("sub", "iss", "aud", "azp", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid", "tenant"),
    *("name", "given_name", "family_name", "preferred_username", "locale", "zoneinfo", "updated_at", "email", "email_verified"),
)


def metadata(call: Call, /) -> dict[str, Any]:
    """Return the metadata of the authorization server (RFC 8414, section 2)."""
    oauth = f"{call.world.site}/v1/oauth"
    return {
        "issuer": call.world.site,
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "jwks_uri": f"{oauth}/jwks",
        "registration_endpoint": f"{oauth}/register",
        "revocation_endpoint": f"{oauth}/revoke",
        "introspection_endpoint": f"{oauth}/introspect",
        "device_authorization_endpoint": f"{oauth}/device",
        "pushed_authorization_request_endpoint": f"{oauth}/par",
        "require_pushed_authorization_requests": False,
        "scopes_supported": oauth_scopes.listed(call),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [*GRANT_TYPES, JWT_BEARER],
        "token_endpoint_auth_methods_supported": list(METHODS),
        "token_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": list(METHODS),
        "revocation_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "introspection_endpoint_auth_methods_supported": list(METHODS[:-1]),
        "introspection_endpoint_auth_signing_alg_values_supported": list(ASSERTION_ALGORITHMS),
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "service_documentation": "https://docs.crm.example/services/authentication",
        "op_policy_uri": "https://crm.example/policies/clients",
        "op_tos_uri": "https://crm.example/terms/clients",
        "ui_locales_supported": ["en", "de", "nl"],
    }


@handles("getAuthorizationServerMetadata")
def authorization_server(call: Call) -> Reply:
    """Return the metadata of the authorization server."""
    return Reply(200, metadata(call), PUBLIC)


@handles("getOpenidConfiguration")
def openid(call: Call) -> Reply:
    """Return the configuration of the OpenID provider."""
    oauth = f"{call.world.site}/v1/oauth"
    body = metadata(call) | {
        "userinfo_endpoint": f"{oauth}/userinfo",
        "end_session_endpoint": f"{oauth}/logout",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(OF_ID_TOKENS),
        "acr_values_supported": ["urn:crm:acr:pwd", "urn:crm:acr:mfa"],
        "claims_supported": list(CLAIMS),
        "claim_types_supported": ["normal"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
    return Reply(200, body, PUBLIC)


@handles("getProtectedResourceMetadata")
def protected_resource(call: Call) -> Reply:
    """Return the metadata of the API as a protected resource."""
    body = {
        "resource": call.world.site,
        "authorization_servers": [call.world.site],
        "jwks_uri": f"{call.world.site}/v1/oauth/jwks",
        "scopes_supported": sorted(call.world.contract.scopes),
        "bearer_methods_supported": ["header"],
        "resource_name": "CRM platform API",
        "resource_documentation": "https://docs.crm.example",
    }
    return Reply(200, body, PUBLIC)


@handles("getJsonWebKeySet")
def key_set(call: Call) -> Reply:
    """Return the public keys of all tenants: one issuer signs for all of them."""
    return Reply(200, {"keys": published_keys(call.world)}, PUBLIC)
