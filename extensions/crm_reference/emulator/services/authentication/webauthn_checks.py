"""WebAuthn: what a browser's answer must be. The library decides; this module names what we accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webauthn import verify_authentication_response, verify_registration_response
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url, parse_attestation_object
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException

RELYING_PARTY = "app.crm.example"
ORIGINS = ["https://app.crm.example"]
#: Algorithms that new passkeys may have, best first.
ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]


class Rejected(Exception):
    """The answer doesn't verify."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified signature says."""

    sign_count: int
    is_user_verified: bool


def verify_registration(challenge: str, body: Mapping[str, Any], /) -> dict[str, Any]:
    """Verify a new passkey (WebAuthn Level 3, section 7.1), and return what a factor keeps of it.

    :param challenge: The one that was given out, in base64url.
    :raises Rejected: If anything of it isn't right.
    """
    try:
        data = parse_attestation_object(base64url_to_bytes(body["attestation_object"])).auth_data.attested_credential_data
        if data is None:
            raise Rejected
        credential = bytes_to_base64url(data.credential_id)
        verified = verify_registration_response(
            credential={
                "id": credential,
                "rawId": credential,
                "type": "public-key",
                "response": {"clientDataJSON": body["client_data_json"], "attestationObject": body["attestation_object"]},
            },
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=RELYING_PARTY,
            expected_origin=ORIGINS,
            require_user_verification=True,
            supported_pub_key_algs=ALGORITHMS,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, IndexError):
        raise Rejected from None
    return {
        "_credential": credential,
        "_public_key": bytes_to_base64url(verified.credential_public_key),
        "_sign_count": verified.sign_count,
        "aaguid": verified.aaguid,
        "is_synced": verified.credential_backed_up,
    }


def verify_assertion(factor: Mapping[str, Any], challenge: str, body: Mapping[str, Any], /, *, verify_user: bool = False) -> Proof:
    """Verify a passkey's signature (WebAuthn Level 3, section 7.2).

    :param factor: The factor's document, with the key and the last signature counter.
    :param verify_user: Whether the authenticator must have checked its user.
    :raises Rejected: If anything of it isn't right, the counter included.
    """
    try:
        verified = verify_authentication_response(
            credential={
                "id": body["credential"],
                "rawId": body["credential"],
                "type": "public-key",
                "response": {
                    "clientDataJSON": body["client_data_json"],
                    "authenticatorData": body["authenticator_data"],
                    "signature": body["signature"],
                },
            },
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=RELYING_PARTY,
            expected_origin=ORIGINS,
            credential_public_key=base64url_to_bytes(factor["_public_key"]),
            credential_current_sign_count=factor["_sign_count"],
            require_user_verification=verify_user,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, IndexError):
        raise Rejected from None
    return Proof(verified.new_sign_count, verified.user_verified)
