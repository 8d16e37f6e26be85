"""Built pages beside the emulator, on one origin, so that samples on a page can really be sent."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from urllib.parse import unquote

from crm_reference.emulator.messages import Response


def page(site: Path, path: str, /) -> Response:
    """Return a file below the site's folder; 404 with the site's own page where there is none.

    :param path: The request's path; nothing outside the folder can be reached by it.
    """
    wanted = (site / unquote(path).lstrip("/")).resolve()
    if wanted.is_dir():
        wanted = wanted / "index.html"
    elif not wanted.is_file():
        # a problem's type is /errors#code, as hosts of static pages serve errors.html
        wanted = wanted.with_name(f"{wanted.name}.html")
    root = site.resolve()
    status = 200
    if not wanted.is_relative_to(root) or not wanted.is_file():
        wanted, status = root / "404.html", 404
        if not wanted.is_file():
            return Response(404, {"Content-Type": "text/plain"}, b"no such page\n")
    media = mimetypes.guess_type(wanted.name)[0] or "application/octet-stream"
    return Response(status, {"Content-Type": media, "Cache-Control": "no-cache"}, wanted.read_bytes())
