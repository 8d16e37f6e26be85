"""How answers of a form are judged and what lead they make. Pure functions; the vectors fix them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_reference.emulator.registry import computes
from crm_reference.emulator.tables import bare_phone

Doc = Mapping[str, Any]

HONEYPOT = "fax_confirm"
#: Code of an answer that its question doesn't take.
REFUSED = "lead_answer_refused"
BLOCKED_WORDS = ("backlinks", "bitcoin", "casino", "crypto", "loan", "porn", "seo", "viagra")
DISPOSABLE = ("guerrillamail.example", "mailinator.example", "tempmail.example", "yopmail.example")
#: Fields of a lead that take an answer; parts of the address stand below ``address.``.
TARGETS = (
    *("first_name", "last_name", "job_title", "company_name", "website", "email", "phone", "language", "industry"),
    *("employee_count", "interests", "description"),
    *("address.street", "address.city", "address.region", "address.postal_code", "address.country"),
)
_LINK = re.compile(r"https?://|www\.|\[url", re.IGNORECASE)
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)


# -- spam ----------------------------------------------------------------------------------------------------------------------


@computes("lead_spam_score")
def spam_score(asked: Doc) -> dict[str, Any]:
    """Return the points that speak for a robot, and what they are made of.

    :param asked: ``answers`` (``kind``, ``maps_to``, ``value``), ``honeypot``, ``seconds_to_fill`` (absent without a ticket) and
        ``recent_count``: submissions of the address within the hour before.
    """
    answers = asked["answers"]
    texts = [a["value"] for a in answers if a.get("maps_to") != "website" and a["kind"] in ("text", "long_text")]
    found = [
        ("honeypot", 60 if asked.get("honeypot") else 0),
        *_speed(asked.get("seconds_to_fill")),
        ("links", _links(texts)),
        ("blocked_words", min(45, 15 * len(_blocked(texts)))),
        ("disposable_address", 35 if any(_is_disposable(a) for a in answers) else 0),
        ("mixed_scripts", 25 if any(_is_mixed(word) for text in texts for word in text.split()) else 0),
        ("gibberish", 20 if any(_is_gibberish(a) for a in answers) else 0),
        ("repeated", 30 if asked.get("recent_count", 0) >= 3 else 0),
    ]
    signals = [{"signal": name, "points": points} for name, points in found if points]
    return {"score": min(100, sum(points for _, points in found)), "signals": signals}


def _speed(seconds: int | None) -> list[tuple[str, int]]:
    if seconds is None:
        return [("no_ticket", 15)]
    return [("too_fast", 40 if seconds < 3 else 20 if seconds < 6 else 0)]


def _links(texts: Iterable[str]) -> int:
    count = sum(len(_LINK.findall(text)) for text in texts)
    return (0, 10, 25, 40)[min(count, 3)]


def _blocked(texts: Iterable[str]) -> set[str]:
    words = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    return words.intersection(BLOCKED_WORDS)


def _is_disposable(answer: Doc) -> bool:
    return answer["kind"] == "email" and answer["value"].rpartition("@")[2].lower() in DISPOSABLE


def _is_mixed(word: str) -> bool:
    """Tell whether a word mixes scripts, as names do that only look like others."""
    return len({unicodedata.name(c, "OTHER").split()[0] for c in word if c.isalpha()} - {"FEMININE", "MASCULINE"}) > 1


def _is_gibberish(answer: Doc) -> bool:
    return answer.get("maps_to") in ("first_name", "last_name") and _CONSONANTS.search(answer["value"]) is not None


@computes("lead_submission_verdict")
def verdict(asked: Doc) -> str:
    """Return what becomes of a submission.

    :param asked: ``score``, ``review_from``, ``reject_from``, ``is_double_opt_in``, ``duplicate_policy``, ``has_duplicate``.
    """
    if asked["score"] >= asked["reject_from"]:
        return "rejected"
    if asked["score"] >= asked["review_from"] or (asked["has_duplicate"] and asked["duplicate_policy"] == "review"):
        return "in_review"
    return "pending_confirmation" if asked["is_double_opt_in"] else "accepted"


# -- answers -------------------------------------------------------------------------------------------------------------------


def entry(pointer: str, code: str, detail: str, /) -> dict[str, str]:
    """Return one thing that is wrong with a submission."""
    return {"pointer": pointer, "code": code, "detail": detail}


def check_answers(definition: Doc, body: Doc, /) -> list[dict[str, str]]:
    """Return what is wrong with answers and consents, before a lead is made of them."""
    fields = {field["key"]: field for field in definition["fields"]}
    wrong: list[dict[str, str]] = []
    seen: set[str] = set()
    for index, answer in enumerate(body["values"]):
        pointer, key = f"#/values/{index}", answer["key"]
        if key in seen:
            wrong.append(entry(f"{pointer}/key", "not_unique", f"{key} is answered twice"))
        elif key not in fields and key != HONEYPOT:
            wrong.append(entry(f"{pointer}/key", "unknown_field", f"the form asks for no {key}"))
        elif key in fields:
            wrong += _check_answer(fields[key], answer["value"], f"{pointer}/value")
        seen.add(key)
    given = {a["key"] for a in body["values"] if a["value"].strip()}
    for field in definition["fields"]:
        if field.get("is_required") and field["key"] not in given and field["key"] not in seen:
            wrong.append(entry("#/values", "required", f"{field['key']} must be answered"))
    agreed = {c["key"] for c in body.get("consents", ()) if c["is_given"]}
    for consent in definition.get("consents", ()):
        if consent.get("is_required") and consent["key"] not in agreed:
            wrong.append(entry("#/consents", "required", f"{consent['key']} must be agreed to"))
    known = {c["key"] for c in definition.get("consents", ())}
    for index, said in enumerate(body.get("consents", ())):
        if said["key"] not in known:
            wrong.append(entry(f"#/consents/{index}/key", "unknown_field", f"the form asks for no consent {said['key']}"))
    return wrong


def _check_answer(field: Doc, value: str, pointer: str) -> list[dict[str, str]]:
    text, kind = value.strip(), field["kind"]
    if not text:
        return [entry(pointer, "required", f"{field['key']} must be answered")] if field.get("is_required") else []
    if len(text) > field.get("max_length", 500):
        return [entry(pointer, REFUSED, f"must have {field.get('max_length', 500)} characters at most")]
    if kind == "number" and not re.fullmatch(r"-?\d{1,12}", text):
        return [entry(pointer, REFUSED, "must be a whole number")]
    if kind == "checkbox" and text not in ("true", "false"):
        return [entry(pointer, REFUSED, "must be true or false")]
    if kind in ("choice", "choices"):
        chosen = [text] if kind == "choice" else [part.strip() for part in text.split(";")]
        if not set(chosen) <= set(field.get("choices", ())):
            return [entry(pointer, REFUSED, f"must be among {', '.join(field.get('choices', ()))}")]
    return []


@computes("lead_of_answers")
def lead_of_answers(asked: Doc) -> dict[str, Any]:
    """Return the body of the lead that answers make.

    :param asked: ``fields`` of the form, ``values`` by key, and ``base``: what every lead of the form gets.
    """
    body: dict[str, Any] = {k: v for k, v in asked.get("base", {}).items() if v}
    for field in asked["fields"]:
        text = asked["values"].get(field["key"], "").strip()
        if not text or not field.get("maps_to"):
            continue
        head, _, rest = field["maps_to"].partition(".")
        value = _typed(field, text)
        if rest:
            body.setdefault(head, {})[rest] = value
        else:
            body[head] = value
    return body


def _typed(field: Doc, text: str) -> Any:
    match field["kind"]:
        case "email":
            return text.lower()
        case "phone":
            return bare_phone(text)
        case "number":
            return int(text)
        case "checkbox":
            return text == "true"
        case "choices":
            return [part.strip() for part in text.split(";")]
        case _ if field["maps_to"] == "interests":
            return [text]
        case _:
            return text


def fill_empty(lead: Doc, body: Doc, /) -> dict[str, Any]:
    """Return the patch by which a submission fills a lead: only what it has not, and further tags and interests."""
    patch: dict[str, Any] = {}
    for name, value in body.items():
        if name in ("tags", "interests"):
            more = [tag for tag in value if tag not in lead.get(name, ())]
            if more:
                patch[name] = [*lead.get(name, ()), *more]
        elif name in ("address", "custom_fields"):
            missing = {k: v for k, v in value.items() if k not in lead.get(name, {})}
            if missing:
                patch[name] = missing
        elif lead.get(name) in (None, ""):
            patch[name] = value
    return patch


@computes("lead_form_repeated_key")
def repeated_key(form: Doc) -> str:
    """Return where a key stands a second time among questions and consents: ``fields.2.key``; empty where none does."""
    known: set[str] = set()
    for name in ("fields", "consents"):
        for index, said in enumerate(form.get(name, ())):
            if said["key"] in known:
                return f"{name}.{index}.key"
            known.add(said["key"])
    return ""


def mapped(fields: Sequence[Doc], target: str, /) -> Doc | None:
    """Return the question that is mapped to a field."""
    return next((field for field in fields if field.get("maps_to") == target), None)
