"""Values from one type of field to another: which conversions there are, and what becomes of a value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from crm_reference.emulator.registry import computes

#: What a conversion gives where a value has no counterpart.
FAILED = object()


def _same(value: Any, said: Mapping[str, Any]) -> Any:
    return value


def _decimal(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _integer(value: Any, said: Mapping[str, Any]) -> Any:
    number = _decimal(value)
    return FAILED if number is None or number != number.to_integral_value() else int(number)


def _rounded(number: Decimal, said: Mapping[str, Any], default: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-said.get("decimal_places", default)), ROUND_HALF_UP)


def _number(value: Any, said: Mapping[str, Any]) -> Any:
    number = _decimal(value)
    return FAILED if number is None else float(_rounded(number, said, 8))


def _amount(value: Any, said: Mapping[str, Any]) -> Any:
    number = _decimal(value)
    return FAILED if number is None else str(_rounded(number, said, 2))


def _text(value: Any, said: Mapping[str, Any]) -> Any:
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, float):
        text = format(Decimal(repr(value)).normalize(), "f")
    else:
        text = str(value)
    return text if len(text) <= said.get("max_length", 255) else FAILED


def _boolean(value: Any, said: Mapping[str, Any]) -> Any:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}.get(str(value).strip().lower(), FAILED)


def _key(value: Any, said: Mapping[str, Any]) -> Any:
    text = "_".join(str(value).strip().lower().split())
    known = [v["value"] for v in said.get("values", ())]
    return text if (text in known if known else text.replace("_", "").isalnum() and text.isascii() and len(text) <= 60) else FAILED


def _as_list(value: Any, said: Mapping[str, Any]) -> Any:
    return [value]


def _single(value: Any, said: Mapping[str, Any]) -> Any:
    return value[0] if len(value) == 1 else FAILED


def _midnight(value: Any, said: Mapping[str, Any]) -> Any:
    return f"{value}T00:00:00Z"


def _day(value: Any, said: Mapping[str, Any]) -> Any:
    return value[:10]


_Convert = Callable[[Any, Mapping[str, Any]], Any]
#: Target types by type, with what converts a value. ``_same`` leaves the stored value as it is written.
CONVERSIONS: Mapping[str, Mapping[str, _Convert]] = {
    "text": {"long_text": _same, "integer": _integer, "decimal": _number, "boolean": _boolean, "picklist": _key},
    "long_text": {"text": _text},
    "integer": {"decimal": _same, "percent": _same, "text": _text, "currency": _amount},
    "decimal": {"percent": _same, "integer": _integer, "text": _text, "currency": _amount},
    "percent": {"decimal": _same, "integer": _integer, "text": _text},
    "currency": {"text": _same, "decimal": _number},
    "boolean": {"text": _text},
    "date": {"text": _same, "date_time": _midnight},
    "date_time": {"text": _same, "date": _day},
    "time": {"text": _same},
    "picklist": {"text": _same, "multi_picklist": _as_list},
    "multi_picklist": {"picklist": _single},
    "url": {"text": _same},
    "email": {"text": _same},
    "phone": {"text": _same},
    "geolocation": {"text": _same},
    "auto_number": {"text": _same},
}


def verdict(old: str, new: str, /) -> str:
    """Return whether a type can become another one: ``lossless``, ``checked`` or ``impossible``.

    >>> verdict("integer", "decimal"), verdict("text", "integer"), verdict("formula", "text")
    ('lossless', 'checked', 'impossible')
    """
    convert = CONVERSIONS.get(old, {}).get(new)
    return "impossible" if convert is None else "lossless" if convert is _same else "checked"


def converted(old: str, said: Mapping[str, Any], value: Any, /) -> Any:
    """Return a value in another type, or :data:`FAILED`.

    :param said: The new definition: ``type`` and its settings.
    """
    return CONVERSIONS[old][said["type"]](value, said)


@computes("convert_value")
def convert_value(input: Mapping[str, Any], /) -> dict[str, Any]:
    """Convert a ``value`` ``from`` a type ``to`` another one with ``settings``; tell whether it ``converts`` and into what."""
    found = converted(input["from"], {"type": input["to"], **input.get("settings", {})}, input["value"])
    return {"converts": False} if found is FAILED else {"converts": True, "value": found}
