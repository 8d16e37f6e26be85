"""Key pairs: the same from the same seed, usable by whoever reads their PEM or JWK."""

from __future__ import annotations

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from crm_reference.emulator.services.authentication.key_material import make_key, private_jwk, public_jwk, thumbprint, to_pem


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256"])
class TestBothAlgorithms:
    def test_same_seed_same_key(self, algorithm: str) -> None:
        assert private_jwk(make_key(algorithm, "tide")) == private_jwk(make_key(algorithm, "tide"))

    def test_other_seed_other_key(self, algorithm: str) -> None:
        assert thumbprint(public_jwk(make_key(algorithm, "tide").public_key())) != thumbprint(
            public_jwk(make_key(algorithm, "ebb").public_key())
        )

    def test_what_the_private_jwk_signs_the_public_one_verifies(self, algorithm: str) -> None:
        key = make_key(algorithm, "tide")
        token = jwt.encode({"sub": "buoy"}, jwt.PyJWK(private_jwk(key), algorithm=algorithm).key, algorithm=algorithm)

        public = jwt.PyJWK(public_jwk(key.public_key()), algorithm=algorithm).key

        assert jwt.decode(token, public, algorithms=[algorithm]) == {"sub": "buoy"}

    def test_pem_holds_the_key(self, algorithm: str) -> None:
        key = make_key(algorithm, "tide")

        read = serialization.load_pem_private_key(to_pem(key).encode(), None)

        assert private_jwk(read) == private_jwk(key)  # type: ignore[arg-type]  # one of the two kinds, as the equality shows

    def test_public_half_has_no_secret(self, algorithm: str) -> None:
        assert not {"d", "p", "q", "dp", "dq", "qi"} & public_jwk(make_key(algorithm, "tide").public_key()).keys()


def test_rsa_key_has_2048_bits_and_two_primes() -> None:
    key = make_key("RS256", "tide")

    assert isinstance(key, rsa.RSAPrivateKey)
    numbers = key.private_numbers()
    assert key.key_size == 2048
    assert numbers.p * numbers.q == numbers.public_numbers.n
    found = rsa.rsa_recover_prime_factors(numbers.public_numbers.n, numbers.public_numbers.e, numbers.d)
    assert set(found) == {numbers.p, numbers.q}
