"""Key pairs: made from a seed or at random, written as PEM, published as JWK (RFC 7517, RFC 7518, RFC 8037).

A world's keys follow from its seed, so that the same example makes the same key on every machine. Such a key protects nothing
but examples; with the real clock, keys are random.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import lru_cache
from itertools import count, islice
from typing import Any

from Crypto.PublicKey import RSA
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PrivateKey = Ed25519PrivateKey | rsa.RSAPrivateKey
PublicKey = Ed25519PublicKey | rsa.RSAPublicKey


def make_key(algorithm: str, seed: str, /) -> PrivateKey:
    """Return the key pair that follows from a seed.

    :param algorithm: ``RS256`` (2048 bits) or ``EdDSA`` (Ed25519).
    """
    if algorithm == "EdDSA":
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
    return _rsa_key(seed)


def to_pem(key: PrivateKey, /) -> str:
    """Return a private key as PKCS #8 in PEM."""
    encoding = serialization.Encoding.PEM
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def private_jwk(key: PrivateKey, /) -> dict[str, Any]:
    """Return a whole key pair as a JWK, as :class:`~crm_reference.emulator.tokens.Tokens` takes it to sign with."""
    if isinstance(key, Ed25519PrivateKey):
        return {**public_jwk(key.public_key()), "d": _text(key.private_bytes_raw())}
    numbers = key.private_numbers()
    parts = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "dp": numbers.dmp1, "dq": numbers.dmq1, "qi": numbers.iqmp}
    return {**public_jwk(key.public_key()), **{name: _number(value) for name, value in parts.items()}}


def public_jwk(key: PublicKey, /) -> dict[str, Any]:
    """Return the members of a public key as a JWK: ``kty`` and what makes the key."""
    if isinstance(key, Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _text(key.public_bytes_raw())}
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}


def thumbprint(jwk: dict[str, Any], /) -> str:
    """Return a key's SHA-256 thumbprint (RFC 7638), by which it is told from others whatever it is called.

    >>> thumbprint({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
    'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'
    """
    names = ("crv", "kty", "x") if jwk["kty"] == "OKP" else ("e", "kty", "n")
    members = ",".join(f'"{name}":"{jwk[name]}"' for name in names)
    return _text(hashlib.sha256(f"{{{members}}}".encode()).digest())


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


@lru_cache(maxsize=16)
def _rsa_key(seed: str) -> rsa.RSAPrivateKey:
    # cryptography takes its randomness from the system alone; this library makes a key of whatever it is given.
    made = RSA.generate(2048, randfunc=_stream(seed))
    key = serialization.load_der_private_key(made.export_key("DER"), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _stream(seed: str) -> Callable[[int], bytes]:
    """Return a function that gives the next bytes that follow from a seed."""
    blocks = (hashlib.sha256(f"{seed}#{number}".encode()).digest() for number in count())
    return lambda size: b"".join(islice(blocks, -(-size // 32)))[:size]
