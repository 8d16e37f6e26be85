"""Why an exchange can't be run.

``ExchangeError`` is the only exception that the package raises for an author's mistake.
"""

from __future__ import annotations

from crm_reference.contract import ContractError, Finding, Place


class ExchangeError(ContractError):
    """An exchange can't be run as it is written; its one finding names file and line.

    :param place: Where the exchange stands.
    :param rule: Stable name, as in ``exchange.reference``.
    :param message: What is wrong and what to do.
    """

    def __init__(self, place: Place, rule: str, message: str) -> None:
        super().__init__([Finding(place, rule, message)])

    @property
    def finding(self) -> Finding:
        """The finding that it carries."""
        return self.findings[0]
