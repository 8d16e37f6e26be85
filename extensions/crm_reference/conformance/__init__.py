"""Conformance: laws that hold of every operation, and the documented exchanges run against a live service.

:mod:`.laws` needs an emulator, since it looks behind the API (state, events, faults). :mod:`.live` needs a base URL and a token.
"""

from crm_reference.conformance.live import run

__all__ = ["run"]
