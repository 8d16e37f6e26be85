"""How tenants bring key material: a JWE to an X25519 key, ECDH-ES+A256KW and A256GCM (RFC 7516, 7518 section 4.6, 8037)."""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from crm_reference.emulator.registry import computes

ALGORITHM = "ECDH-ES+A256KW"
ENCRYPTION = "A256GCM"
MATERIAL_BYTES = 32

_CHECK = b"crm-key-check"


def decoded(text: str, /) -> bytes:
    """Return the bytes of base64url text without padding.

    :raises ValueError: If it is none.
    """
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@computes("key_fingerprint")
def _fingerprint(asked: dict[str, str]) -> str:
    """Return the fingerprint of ``material``, which is base64url text."""
    return fingerprint(decoded(asked["material"]))


def fingerprint(material: bytes, /) -> str:
    """Return what proves which material is in use: the first half of a SHA-256, in hexadecimal digits."""
    return hashlib.sha256(_CHECK + material).hexdigest()[:32]


def public_key(private: str, /) -> dict[str, str]:
    """Return the public half of a private key as a JSON Web Key, with how to use it.

    :param private: 32 bytes as base64url text.
    """
    raw = X25519PrivateKey.from_private_bytes(decoded(private)).public_key().public_bytes_raw()
    x = urlsafe_b64encode(raw).decode().rstrip("=")
    return {"kty": "OKP", "crv": "X25519", "x": x, "alg": ALGORITHM, "enc": ENCRYPTION}


def unwrap(jwe: str, private: str, /) -> bytes:
    """Return the material in a JWE.

    :param private: The private key as base64url text.
    :raises ValueError: If it isn't for this key, was changed, or holds other than 32 bytes. All failures are alike.
    """
    try:
        head, wrapped, iv, text, tag = jwe.split(".")
        header: dict[str, Any] = orjson.loads(decoded(head))
        if header["alg"] != ALGORITHM or header["enc"] != ENCRYPTION or header["epk"]["crv"] != "X25519":
            raise ValueError
        peer = X25519PublicKey.from_public_bytes(decoded(header["epk"]["x"]))
        shared = X25519PrivateKey.from_private_bytes(decoded(private)).exchange(peer)
        key = aes_key_unwrap(_derived(shared, header), decoded(wrapped))
        material = AESGCM(key).decrypt(decoded(iv), decoded(text) + decoded(tag), head.encode())
    except (ValueError, KeyError, TypeError, AttributeError, InvalidTag, InvalidUnwrap, binascii.Error):
        raise ValueError("the material can't be unwrapped") from None
    if len(material) != MATERIAL_BYTES:
        raise ValueError("the material can't be unwrapped")
    return material


def _derived(shared: bytes, header: dict[str, Any]) -> bytes:
    """Derive the key that wraps the content key, as RFC 7518 (4.6.2) lays its input out."""
    parts = [ALGORITHM.encode(), decoded(header.get("apu", "")), decoded(header.get("apv", ""))]
    info = b"".join(len(p).to_bytes(4) + p for p in parts) + (256).to_bytes(4)
    return ConcatKDFHash(SHA256(), 32, info).derive(shared)
