"""Problems that name one place of the body."""

from __future__ import annotations

from crm_reference.emulator.messages import Problem


def invalid(pointer: str, code: str, detail: str, /) -> Problem:
    """Return a ``validation_failed`` about one place of the body.

    :param pointer: ``#/owner_id``.
    :param code: A field code, ``invalid_reference``.
    """
    return Problem("validation_failed", "1 field is not valid; see errors.", [{"pointer": pointer, "code": code, "detail": detail}])


def refused(code: str, detail: str, pointer: str, /) -> Problem:
    """Return a problem with a code of its own."""
    return Problem(code, detail, [{"pointer": pointer, "code": code, "detail": detail}])
