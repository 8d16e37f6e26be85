"""What a definition of a field must be: the rules of CustomField, and what each type of field takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.custom_fields.formulas import complaints
from crm_reference.emulator.custom_fields.functions import FUNCTIONS
from crm_reference.emulator.custom_fields.patterns import fault, fits
from crm_reference.emulator.custom_fields.values import COMPUTED, OPERATORS, complaint
from crm_reference.emulator.registry import computes, derives, enforces, handles
from crm_reference.emulator.services.custom_objects.conversions import CONVERSIONS, verdict
from crm_reference.emulator.services.custom_objects.definitions import FIELDS, PICKLISTS, SETS, built_in, type_named

Doc = Mapping[str, Any]

#: Settings by type of field, beside those that every field takes.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "text": ("max_length", "pattern", "is_unique", "default_value"),
    "long_text": ("max_length", "default_value"),
    "integer": ("minimum", "maximum", "is_unique", "default_value"),
    "decimal": ("minimum", "maximum", "decimal_places", "default_value"),
    "currency": ("minimum", "maximum", "decimal_places", "currency_code", "default_value"),
    "percent": ("minimum", "maximum", "decimal_places", "default_value"),
    "boolean": ("default_value",),
    "date": ("default_value",),
    "date_time": ("default_value",),
    "time": ("default_value",),
    "picklist": ("values", "global_value_set_id", "default_value"),
    "multi_picklist": ("values", "global_value_set_id", "default_value"),
    "url": ("is_unique", "default_value"),
    "email": ("is_unique", "default_value"),
    "phone": ("is_unique", "default_value"),
    "reference": ("target", "on_target_delete", "is_unique"),
    "auto_number": ("auto_number",),
    "formula": ("formula", "decimal_places"),
    "roll_up": ("roll_up", "decimal_places"),
    "geolocation": ("default_value",),
}
#: Settings that only some types take.
OWN = frozenset(name for names in SETTINGS.values() for name in names)
_JSON = {
    "integer": "integer",
    "decimal": "number",
    "percent": "number",
    "formula": "number",
    "roll_up": "number",
    "boolean": "boolean",
    "multi_picklist": "array",
}
#: What a type can't do without; one of them where there are several.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "picklist": ("values", "global_value_set_id"),
    "multi_picklist": ("values", "global_value_set_id"),
    "reference": ("target",),
    "currency": ("currency_code",),
    "auto_number": ("auto_number",),
    "formula": ("formula",),
    "roll_up": ("roll_up",),
}
_WORDS = frozenset({"and", "or", "not", "in", "true", "false", "null", "id", "object", "name", "version"})
#: Collections of the platform that a reference may lead to, whether or not they take fields.
_TARGETS = frozenset({"contacts", "accounts", "leads", "deals", "tasks", "users"})


@derives(FIELDS)
def choices(context: Context | None, doc: Doc, /) -> dict[str, Any]:
    """Return the values of a picklist that can be chosen now."""
    if context is None or doc.get("type") not in PICKLISTS:
        return {}
    values = doc.get("values")
    if values is None:
        found = context.world.store.get(context.tenant, SETS, doc.get("global_value_set_id", ""))
        values = found.doc["values"] if found is not None else []
    return {"choices": [v["value"] for v in values if v.get("is_active", True)]}


@enforces("field_name_free")
def field_name_free(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse names that expressions need for themselves."""
    return f"{new['name']} is a word of the expression language." if new["name"] in FUNCTIONS or new["name"] in _WORDS else ""


@enforces("object_extensible")
def object_extensible(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse fields of objects that there are not."""
    known = old is not None or new["object_type"] in built_in(context) or type_named(context, new["object_type"])
    return "" if known else f"No object that takes fields is called {new['object_type']}."


@enforces("settings_fit")
def settings_fit(context: Context, new: Doc, old: Doc | None, /) -> tuple[str, str] | str:
    """Refuse settings that the type doesn't take."""
    for name in sorted(OWN - set(SETTINGS[new["type"]])):
        if new.get(name) not in (None, False):
            return f"{new['type']} takes no {name}.", name
    if new["type"] in COMPUTED and new.get("is_required"):
        return f"{new['type']} is computed and can't be required.", "is_required"
    return ""


@enforces("settings_complete")
def settings_complete(context: Context, new: Doc, old: Doc | None, /) -> tuple[str, str] | str:
    """Refuse definitions that lack what their type needs, or have it twice."""
    needed = _NEEDED.get(new["type"], ())
    given = [name for name in needed if new.get(name) is not None]
    if not needed or len(given) == 1:
        return ""
    said = " or ".join(needed)
    return (f"{new['type']} needs {said}." if not given else f"Send either {said}."), needed[0]


@enforces("values_distinct")
def values_distinct(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse lists in which a value stands twice, or with two defaults of a single choice."""
    values = new.get("values", [])
    keys = [v["value"] for v in values]
    twice = sorted({k for k in keys if keys.count(k) > 1})
    if twice:
        return f"{twice[0]} stands twice."
    defaults = [v["value"] for v in values if v.get("is_default")]
    return "Only one value can be the default." if new["type"] == "picklist" and len(defaults) > 1 else ""


@enforces("pattern_fits")
def pattern_fits(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse patterns that couldn't be matched in every language, or not in time."""
    pattern = new.get("pattern", "")
    found = fault(pattern) if pattern and (old is None or old.get("pattern") != pattern) else ""
    return f"The pattern can't be used: {found}." if found else ""


@computes("pattern_match")
def pattern_match(input: Mapping[str, Any]) -> dict[str, bool]:
    """Tell whether a pattern can be used, and whether it matches a text."""
    usable = not fault(input["pattern"])
    return {"is_usable": usable, **({"matches": fits(input["pattern"], input["text"])} if usable else {})}


@enforces("default_fits")
def default_fits(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse defaults that the field itself would refuse."""
    value = new.get("default_value")
    found = complaint(context, new, value) if value is not None else None
    return f"The default {found[1]}." if found else ""


@enforces("target_known")
def target_known(context: Context, new: Doc, old: Doc | None, /) -> str:
    """Refuse references that lead nowhere."""
    target = new.get("target")
    collections = _TARGETS | {r.collection for r in built_in(context).values()}
    if target is None or old is not None or target in collections or type_named(context, target):
        return ""
    return f"There is neither a collection nor an object type {target}."


@enforces("expression_valid")
def expression_valid(context: Context, new: Doc, old: Doc | None, /) -> tuple[str, str] | str:
    """Refuse formulas and roll-ups that can't be computed."""
    if new["type"] not in ("formula", "roll_up") or new["type"] not in new or context.is_upkeep:
        return ""
    if old is not None and all(old.get(name) == new.get(name) for name in ("formula", "roll_up")):
        return ""
    found = complaints(context, new)
    return (found[0]["detail"], found[0]["pointer"].removeprefix("#/").replace("/", ".")) if found else ""


@handles("listFieldTypes")
def list_types(call: Call) -> Reply:
    """Answer what there is to know of each type of field."""
    if call.headers.get("If-None-Match") in ('"field-types-1"', "*"):
        return Reply(304, None, {"ETag": '"field-types-1"'})
    data = []
    for kind, settings in SETTINGS.items():
        entry: dict[str, Any] = {"type": kind, "json_type": _JSON.get(kind, "string"), "settings": list(settings)}
        becomes = sorted((verdict(kind, to) != "lossless", to) for to in CONVERSIONS.get(kind, {}))
        entry |= {"operators": list(OPERATORS.get(kind, ())), "is_writable": kind not in COMPUTED}
        data.append({**entry, "converts_to": [{"type": to, "verdict": verdict(kind, to)} for _, to in becomes]})
    return Reply(200, {"data": data}, {"ETag": '"field-types-1"'})
