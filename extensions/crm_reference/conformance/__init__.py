"""Conformance: laws that hold of every operation, and the documented exchanges run against a live service.

:mod:`.laws` needs an emulator, since it looks behind the API (state, events, faults). :mod:`.live` and :mod:`.generated` need a
base URL and a token: the one sends what is documented, the other what follows from the schemas.
"""

from crm_reference.conformance.generated import GeneratorError, run_generated, token_of
from crm_reference.conformance.live import run

__all__ = ["GeneratorError", "run", "run_generated", "token_of"]
