"""Material that another JOSE library wraps is unwrapped here, and everything else is refused in one way."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode

import pytest
from joserfc import jwe
from joserfc.jwk import OKPKey

from crm_reference.emulator.services.security.key_wrapping import fingerprint, public_key, unwrap

MATERIAL = hashlib.sha256(b"material").digest()


def _private(seed: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(seed).digest()).decode().rstrip("=")


PRIVATE = _private(b"ours")


def _wrapped(material: bytes, private: str = PRIVATE, **header: str) -> str:
    public = public_key(private)
    key = OKPKey.import_key({name: public[name] for name in ("kty", "crv", "x")})
    head = {"alg": "ECDH-ES+A256KW", "enc": "A256GCM", **header}
    registry = jwe.JWERegistry(algorithms=[head["alg"], head["enc"]])
    return jwe.encrypt_compact(head, material, key, registry=registry)


def test_another_library_wraps() -> None:
    assert unwrap(_wrapped(MATERIAL), PRIVATE) == MATERIAL


def test_parties_belong_to_the_derivation() -> None:
    parties = {"apu": "QnJpZ2h0d2F0ZXI", "apv": "Q1JN"}

    assert unwrap(_wrapped(MATERIAL, **parties), PRIVATE) == MATERIAL


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(_wrapped(MATERIAL[:16]), id="short"),
        pytest.param(_wrapped(MATERIAL * 2), id="long"),
        pytest.param(_wrapped(MATERIAL, _private(b"theirs")), id="for-another-key"),
        pytest.param(_wrapped(MATERIAL, alg="ECDH-ES"), id="without-wrapping"),
        pytest.param(_wrapped(MATERIAL, enc="A128GCM"), id="weaker-encryption"),
        pytest.param(_wrapped(MATERIAL)[:-4] + "AAAA", id="changed-tag"),
        pytest.param("a.b.c", id="three-parts"),
        pytest.param("!.b.c.d.e", id="no-base64"),
        pytest.param("bnVsbA.b.c.d.e", id="no-header"),
    ],
)
def test_all_failures_are_alike(text: str) -> None:
    with pytest.raises(ValueError, match=r"^the material can't be unwrapped$"):
        unwrap(text, PRIVATE)


def test_fingerprint_tells_materials_apart() -> None:
    assert fingerprint(MATERIAL) == hashlib.sha256(b"crm-key-check" + MATERIAL).hexdigest()[:32]
    assert fingerprint(MATERIAL) != fingerprint(bytes(32))
