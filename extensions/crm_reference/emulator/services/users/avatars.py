"""Pictures of users: what the bytes are, whatever the uploader says."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from collections.abc import Mapping
from typing import Any

from crm_reference.emulator.call import Call, Context, Reply
from crm_reference.emulator.messages import Problem
from crm_reference.emulator.registry import computes, handles
from crm_reference.emulator.services.users.people import UPDATED, demand_own
from crm_reference.emulator.services.users.profiles import keep
from crm_reference.emulator.store import Record

MAX_BYTES = 184_320
SIDE = range(64, 1025)

_PNG = b"\x89PNG\r\n\x1a\n"
#: The last chunk of every PNG: IEND, with its length and checksum.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
#: Markers of a JPEG's frame header, in which the size stands (ITU T.81, table B.1).
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@computes("read_picture")
def read_picture(asked: Mapping[str, str]) -> dict[str, Any]:
    """Tell what a picture is.

    :param asked: ``format`` and ``content`` in base64.
    :return: ``width``, ``height`` and ``size_bytes``; or ``refused`` with the code.
    """
    try:
        content = base64.b64decode(asked["content"], validate=True)
    except binascii.Error:
        return {"refused": "avatar_unreadable"}
    size = _png_size(content) if asked["format"] == "png" else _jpeg_size(content)
    if size is None or len(content) > MAX_BYTES:
        return {"refused": "avatar_unreadable"}
    if size[0] not in SIDE or size[1] not in SIDE:
        return {"refused": "avatar_dimensions"}
    return {"width": size[0], "height": size[1], "size_bytes": len(content)}


def _png_size(content: bytes) -> tuple[int, int] | None:
    """Read the size from the header of a PNG that is whole: signature, a header with the right checksum, the end."""
    if not content.startswith(_PNG) or not content.endswith(_PNG_END) or content[12:16] != b"IHDR" or len(content) < 57:
        return None
    if zlib.crc32(content[12:29]) != struct.unpack(">I", content[29:33])[0]:
        return None
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Walk the segments of a JPEG to the frame header; one without its end is no whole picture."""
    if not content.startswith(b"\xff\xd8\xff") or not content.endswith(b"\xff\xd9"):
        return None
    at = 2
    while at + 9 < len(content) and content[at] == 0xFF:
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None


@handles("uploadUserAvatar")
def upload(call: Call) -> Reply:
    """Check a picture and keep it."""
    demand_own(call, call.found.id)
    read = read_picture(call.body)
    if "refused" in read:
        said = "isn't a whole picture of this format within 180 kilobytes"
        if read["refused"] == "avatar_dimensions":
            said = f"has a side outside {SIDE.start} to {SIDE.stop - 1} pixels"
        error = {"pointer": "#/content", "code": read["refused"], "detail": said}
        raise Problem(read["refused"], f"The content {said}.", [error])
    picture = {**read, "format": call.body["format"], "content": call.body["content"], "uploaded_at": call.now}
    user = keep(call, call.found, "_avatar", picture, "picture_changed")
    _tell(call, user)
    return Reply(200, _shown(user), {"ETag": _etag(user)})


@handles("getUserAvatar")
def read(call: Call) -> Reply:
    """Return the picture."""
    user = _with_picture(call)
    if call.headers.get("If-None-Match") in (_etag(user), "*"):
        return Reply(304, None, {"ETag": _etag(user)})
    return Reply(200, _shown(user), {"ETag": _etag(user)})


@handles("deleteUserAvatar")
def delete(call: Call) -> Reply:
    """Remove the picture."""
    demand_own(call, call.found.id)
    _tell(call, keep(call, _with_picture(call), "_avatar", None, "picture_changed"))
    return Reply(204)


def _with_picture(call: Call) -> Record:
    if "_avatar" not in call.found.doc:
        raise Problem("not_found", f"{call.found.id} has no picture.")
    return call.found


def _tell(context: Context, user: Record) -> None:
    context.emit(UPDATED, user.id, {"record": context.records.public(user), "changed_fields": ["has_avatar"]})


def _digest(user: Record) -> str:
    digest = hashlib.sha256(base64.b64decode(user.doc["_avatar"]["content"])).digest()
    return base64.b64encode(digest).decode()


def _etag(user: Record) -> str:
    return f'"{hashlib.sha256(user.doc["_avatar"]["content"].encode()).hexdigest()[:16]}"'


def _shown(user: Record) -> dict[str, Any]:
    return {"user_id": user.id, **user.doc["_avatar"], "content_digest": f"sha-256=:{_digest(user)}:"}
