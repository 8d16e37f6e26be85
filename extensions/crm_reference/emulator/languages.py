"""The language of a problem's title, as ``Accept-Language`` asks for it (RFC 9110, section 12.5.4)."""

from __future__ import annotations

from functools import lru_cache

from crm_reference.emulator.messages import Request

ENGLISH = "en"

#: Languages that titles of the platform's standard codes are there in; details are English.
LANGUAGES = (ENGLISH, "de", "nl")


def language_of(request: Request, /) -> str:
    """Return the language that a request prefers among those that there are; ``""`` where it doesn't say."""
    said = request.headers.get("accept-language")
    return chosen(said) if said else ""


@lru_cache(maxsize=256)
def chosen(header: str, /) -> str:
    """Return the language that a header prefers; English where none of those that it names is there.

    A range is taken by its language alone, without its region; what can't be read is passed over.

    >>> chosen("fr, de-AT;q=0.8, nl;q=0.9"), chosen("fr"), chosen("nl;q=0, *")
    ('nl', 'en', 'en')
    """
    best, weight = ENGLISH, 0.0
    for part in header[:400].split(","):
        name, _, parameter = part.strip().partition(";")
        language = name.strip().partition("-")[0].lower()
        quality = _quality(parameter.strip())
        if quality > weight and language in LANGUAGES:
            best, weight = language, quality
    return best


def _quality(parameter: str) -> float:
    if not parameter:
        return 1.0
    try:
        return min(float(parameter.removeprefix("q=")), 1.0)
    except ValueError:
        return 0.0
