"""Find the sections that tell facets in Markdown, without building the pages.

The Sphinx extension notes the same while it reads; this serves callers that have no build. It knows fenced directives with
backticks or colons, and headings that begin with ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from crm_reference.trace.evidence import Section

_OPENING = re.compile(r"^\s*(?P<fence>`{3,}|:{3,})\s*(?:\{(?P<name>[\w:-]+)\}\s*(?P<arguments>.*))?")
_HEADING = re.compile(r"^#{1,6}\s+(?P<title>.+?)\s*#*$")

#: The directive's name, as pages write it.
COVERS = "crm:covers"


def scan(docs: Path, /) -> dict[str, tuple[Section, ...]]:
    """Return the sections by the ID that they name, whether or not the catalogue has it.

    :param docs: Folder of the pages.
    """
    found: dict[str, tuple[Section, ...]] = {}
    for path in sorted(docs.rglob("*.md")):
        docname = path.relative_to(docs).with_suffix("").as_posix()
        for id, section in scan_page(path.read_text(encoding="utf-8"), docname):
            found[id] = (*found.get(id, ()), section)
    return found


def scan_page(text: str, docname: str, /) -> Iterator[tuple[str, Section]]:
    """Yield each ID that a page's directives name, with the section around it.

    >>> list(scan_page("# People\\n```{crm:covers} REQ-1.1-crud\\n```\\n", "people"))
    [('REQ-1.1-crud', Section(docname='people', line=2, title='People', anchor=''))]
    """
    title, fence, collecting = "", "", False
    for number, line in enumerate(text.splitlines(), 1):
        if fence:
            if re.fullmatch(rf"\s*{fence[0]}{{{len(fence)},}}\s*", line):
                fence, collecting = "", False
            elif collecting:
                yield from ((id, Section(docname, number, title)) for id in line.split())
        elif match := _OPENING.match(line):
            fence, collecting = match["fence"], match["name"] == COVERS
            if collecting:
                yield from ((id, Section(docname, number, title)) for id in match["arguments"].split())
        elif heading := _HEADING.match(line):
            title = heading["title"]
