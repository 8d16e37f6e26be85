"""Schemas in words: types and every constraint, as short CommonMark phrases. Pure; needs nothing from Sphinx."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_FORMATS: Mapping[str, str] = {
    "date-time": "date and time",
    "date": "date",
    "email": "e-mail address",
    "uri": "URL",
    "uri-reference": "URL or path",
    "uuid": "UUID",
    "int32": "32 bits",
    "int64": "64 bits",
    "double": "double precision",
    "float": "single precision",
    "byte": "base64",
    "binary": "bytes",
    "duration": "ISO 8601 duration",
    "ipv4": "IPv4 address",
    "ipv6": "IPv6 address",
    "hostname": "host name",
    "regex": "regular expression",
    "password": "password",
}

_SENSITIVE: Mapping[str, str] = {"pii": "personal data", "secret": "secret", "financial": "financial data"}


def code(value: Any, /) -> str:
    """Return a value as a CommonMark code span, whatever backticks it holds.

    >>> code("a"), code(3), code("x`y")
    ('`a`', '`3`', '`` x`y ``')
    """
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text:
        return "an empty text"
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def type_words(schema: Any, /) -> str:
    """Return a schema's own type in words, without what its parts are.

    >>> type_words({"type": ["string", "null"], "format": "email"})
    'string or null, e-mail address'
    """
    if schema is True or schema == {}:
        return "any value"
    if schema is False:
        return "never"
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = " or ".join(kind)
    if not kind:
        kind = "object" if "properties" in schema else _untyped(schema)
    shape = schema.get("format")
    return f"{kind}, {_FORMATS.get(shape, shape)}" if shape else str(kind)


def _untyped(schema: Mapping[str, Any]) -> str:
    if "const" in schema:
        return {str: "string", bool: "boolean", int: "integer"}.get(type(schema["const"]), "value")
    if "enum" in schema:
        return "string"
    return "one of several shapes" if "oneOf" in schema or "anyOf" in schema else "any value"


def range_words(low: Any, high: Any, unit: str = "", /) -> str:
    """Return bounds in words; either may be ``None``.

    >>> range_words(1, 120, "characters"), range_words(20, 20, "characters"), range_words(0, None)
    ('1 to 120 characters', 'exactly 20 characters', 'at least 0')
    """
    tail = f" {unit}" if unit else ""
    if low is not None and high is not None:
        return f"exactly {_number(low)}{tail}" if low == high else f"{_number(low)} to {_number(high)}{tail}"
    return f"at least {_number(low)}{tail}" if low is not None else f"at most {_number(high)}{tail}"


def _number(value: Any) -> str:
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if isinstance(value, int) and value >= 10_000 else str(value)


def constraints(schema: Any, /) -> tuple[str, ...]:
    """Return every constraint of a schema, each as a phrase.

    >>> constraints({"type": "string", "minLength": 1, "maxLength": 40, "default": "a"})
    ('1 to 40 characters', 'default `a`')
    """
    return tuple(_constraints(schema)) if isinstance(schema, dict) else ()


def _constraints(schema: Mapping[str, Any]) -> Iterator[str]:
    for low, high, unit in (
        ("minLength", "maxLength", "characters"),
        ("minItems", "maxItems", "entries"),
        ("minProperties", "maxProperties", "members"),
        ("minContains", "maxContains", "entries that match `contains`"),
        ("minimum", "maximum", ""),
    ):
        least, most = schema.get(low), schema.get(high)
        if low in ("minLength", "minItems", "minProperties") and least == 0:
            least = None
        if least is not None or most is not None:
            yield range_words(least, most, unit)
    if "exclusiveMinimum" in schema:
        yield f"more than {_number(schema['exclusiveMinimum'])}"
    if "exclusiveMaximum" in schema:
        yield f"less than {_number(schema['exclusiveMaximum'])}"
    if "multipleOf" in schema:
        yield f"a multiple of {_number(schema['multipleOf'])}"
    if "pattern" in schema:
        yield f"matches {code(schema['pattern'])}"
    if schema.get("uniqueItems"):
        yield "no entry twice"
    if "const" in schema:
        yield f"always {code(schema['const'])}"
    if "propertyNames" in schema and isinstance(schema["propertyNames"], dict):
        yield from (f"names: {phrase}" for phrase in _constraints(schema["propertyNames"]))
    for name, needs in schema.get("dependentRequired", {}).items():
        yield f"{code(name)} demands {', '.join(map(code, needs))}"
    for keyword, text in (("contentEncoding", "encoded as"), ("contentMediaType", "holds")):
        if keyword in schema:
            yield f"{text} {code(schema[keyword])}"
    if schema.get("additionalProperties") is False:
        yield "no other members"
    if "default" in schema:
        yield f"default {code(schema['default'])}"
    if "x-extensible" in schema:
        yield "takes custom fields"


def marks(schema: Any, /) -> tuple[str, ...]:
    """Return the marks that stand beside a field's name.

    >>> marks({"readOnly": True, "x-sensitive": "pii"})
    ('read only', 'personal data')
    """
    if not isinstance(schema, dict):
        return ()
    found = []
    if schema.get("readOnly"):
        found.append("read only")
    if schema.get("writeOnly"):
        found.append("write only")
    if schema.get("deprecated"):
        found.append("deprecated")
    if schema.get("x-presence"):
        found.append("always there")
    if "x-sensitive" in schema:
        found.append(_SENSITIVE.get(schema["x-sensitive"], str(schema["x-sensitive"])))
    if "x-masked" in schema:
        found.append(f"masked without {schema['x-masked']}")
    return tuple(found)


def choices(schema: Any, /) -> tuple[tuple[str, str], ...]:
    """Return the values of an enumeration, each with its meaning (empty where none is written)."""
    if not isinstance(schema, dict):
        return ()
    meanings = schema.get("x-enum-descriptions", {})
    return tuple((v if isinstance(v, str) else json.dumps(v), str(meanings.get(v, ""))) for v in schema.get("enum", ()))


def bytes_words(count: int, /) -> str:
    """Return a size in words.

    >>> bytes_words(0), bytes_words(65536), bytes_words(4194304)
    ('none', '64 KiB', '4 MiB')
    """
    if count <= 0:
        return "none"
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count} bytes"


def count(number: int, noun: str, /) -> str:
    """Return a number with its noun.

    >>> count(1, "member"), count(3, "member")
    ('1 member', '3 members')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"
