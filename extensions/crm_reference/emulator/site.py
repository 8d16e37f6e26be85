"""Built pages beside the emulator, on one origin, so that samples on a page can really be sent."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import unquote

from crm_reference.emulator.messages import Response

#: Tells the scripts of a page, which can read this header, that the emulator answers on the page's origin.
PRESENT = "crm-emulator"


def page(site: Path, path: str, /) -> Response:
    """Return a file below the site's folder; 404 with the site's own page where there is none.

    :param path: The request's path; nothing outside the folder can be reached by it.
    """
    root, status = site.resolve(), 200
    try:
        wanted = _file(root, unquote(path))
    except (OSError, ValueError):  # longer than a name may be, or with a NUL in it
        wanted = None
    if wanted is None:
        wanted, status = root / "404.html", 404
        if not wanted.is_file():
            return Response(404, {"Content-Type": "text/plain"}, b"no such page\n")
    media = mimetypes.guess_type(wanted.name)[0] or "application/octet-stream"
    headers = {"Content-Type": media, "Cache-Control": "no-cache", "Server-Timing": PRESENT}
    return Response(status, headers, wanted.read_bytes())


def _file(root: Path, path: str) -> Path | None:
    wanted = (root / path.lstrip("/")).resolve()
    if not wanted.is_relative_to(root):
        return None
    if wanted.is_dir():
        wanted = wanted / "index.html"
    elif not wanted.is_file():
        # a problem's type is /errors#code, as hosts of static pages serve errors.html
        wanted = wanted.with_name(f"{wanted.name}.html")
    return wanted if wanted.is_file() else None
