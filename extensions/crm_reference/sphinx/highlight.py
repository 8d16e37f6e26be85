"""Code in colour: Pygments, cached by content for the whole build and between builds."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import sqlite3
from pathlib import Path

import pygments
from pygments import highlight as pygmentize
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

#: Part of the cache's key: raise it when the markup changes.
_FORMAT = f"2:{pygments.__version__}"

_formatter = HtmlFormatter(nowrap=True)
#: White space, punctuation and plain names have no colour, and are a third of the markup.
_PLAIN = re.compile(r'<span class="(?:w|p|n|o)">([^<]*)</span>')
_stores: dict[Path, sqlite3.Connection | None] = {}


def highlight(code: str, language: str, cache: Path | None = None, /) -> str:
    """Return code as HTML spans, without the element around them.

    :param language: A lexer's name; ``text`` only escapes.
    :param cache: File of the cache between builds; ``None`` keeps nothing.
    """
    return _highlight(code, language, cache)


@functools.lru_cache(maxsize=20_000)
def _highlight(code: str, language: str, cache: Path | None) -> str:
    key = hashlib.sha256(f"{_FORMAT}\0{language}\0{code}".encode()).digest()
    store = _store(cache) if cache else None
    if store is not None:
        try:
            row = store.execute("SELECT html FROM code WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error:
            row = None
        if row:
            return str(row[0])
    made = _PLAIN.sub(r"\1", str(pygmentize(code, _lexer(language), _formatter)).rstrip("\n"))
    if store is not None:
        try:
            with store:
                store.execute("INSERT OR IGNORE INTO code VALUES (?, ?)", (key, made))
        except sqlite3.Error:  # another worker writes, or the disk is full: the next build highlights again
            pass
    return made


@functools.cache
def _lexer(language: str):  # type: ignore[no-untyped-def]  # Pygments has no types
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


def _store(path: Path) -> sqlite3.Connection | None:
    """Return the connection of this process; a forked worker must not use its parent's."""
    key = path.with_name(f"{path.name}.{os.getpid()}")
    if key not in _stores:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            store = sqlite3.connect(path, timeout=2, isolation_level=None, check_same_thread=False)
            store.execute("PRAGMA journal_mode = WAL")
            store.execute("PRAGMA synchronous = OFF")
            store.execute("CREATE TABLE IF NOT EXISTS code (key BLOB PRIMARY KEY, html TEXT) WITHOUT ROWID")
            _stores[key] = store
        except (OSError, sqlite3.Error):
            _stores[key] = None
    return _stores[key]
