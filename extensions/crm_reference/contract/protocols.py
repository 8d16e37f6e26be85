"""Errors of operations that follow a protocol's RFC in place of the house style."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Page of the error catalogue; the code follows as fragment.
CATALOGUE = "https://docs.crm.example/errors#"
#: Profiles whose errors have a form of their own.
PROTOCOLS = ("oauth", "oidc", "scim")
#: Media type of errors in the house style (RFC 9457).
PROBLEM_JSON = "application/problem+json"
SCIM_JSON = "application/scim+json"
SCIM_ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"

#: The platform's codes as OAuth names them, with their status (RFC 6749, section 5.2; RFC 6750, 3.1; RFC 8628, 3.5).
_OAUTH: Mapping[str, tuple[str, int]] = {
    "malformed_json": ("invalid_request", 400),
    "unknown_parameter": ("invalid_request", 400),
    "malformed_parameter": ("invalid_request", 400),
    "unsupported_media_type": ("invalid_request", 400),
    "validation_failed": ("invalid_request", 400),
    "content_too_large": ("invalid_request", 413),
    "missing_token": ("invalid_token", 401),
    "rate_limited": ("slow_down", 429),
    "internal_error": ("server_error", 500),
    "unavailable": ("temporarily_unavailable", 503),
    "timeout": ("temporarily_unavailable", 503),
}

#: The platform's codes that have a keyword or another status in SCIM (RFC 7644, section 3.12, table 9).
_SCIM: Mapping[str, tuple[str, int]] = {
    "malformed_json": ("invalidSyntax", 400),
    "unknown_parameter": ("invalidValue", 400),
    "malformed_parameter": ("invalidValue", 400),
    "invalid_cursor": ("invalidValue", 400),
    "unsupported_media_type": ("invalidSyntax", 400),
    "validation_failed": ("invalidValue", 400),
}


def protocol_error(profile: str, code: str, status: int, detail: str, /, scim_type: str = "") -> tuple[int, str, dict[str, Any]]:
    """Return status, media type and body of an error as a protocol writes it.

    :param profile: ``oauth``, ``oidc`` or ``scim``.
    :param code: Code of the error catalogue.
    :param status: The status that the catalogue gives to it.
    :param scim_type: SCIM's keyword, where the code implies none.
    """
    if profile == "scim":
        keyword, status = _SCIM.get(code, (scim_type, status))
        body = {"schemas": [SCIM_ERROR], "status": str(status), "scimType": scim_type or keyword, "detail": detail}
        return status, SCIM_JSON, {name: value for name, value in body.items() if value}
    error, status = _OAUTH.get(code, (code, status))
    return status, "application/json", {"error": error, "error_description": detail, "error_uri": CATALOGUE + code}


def help_link(code: str, /) -> str:
    """Return the Link header of an error whose body has no room for the platform's code (RFC 8288, relation ``help``)."""
    return f'<{CATALOGUE}{code}>; rel="help"'
