"""Tags of a record, added and removed one by one."""

from __future__ import annotations

from crm_reference.emulator.call import Call
from crm_reference.emulator.refusals import invalid, refused

#: No record has more.
MAX_TAGS = 50


def changed_tags(call: Call, code: str, subject: str, /) -> list[str]:
    """Return the tags that the path's record would have with those of ``add`` and without those of ``remove``, new ones last.

    :param code: Code where they would be too many: ``deal_tag_limit_exceeded``.
    :param subject: What the message calls the record: ``The deal``.
    :raises Problem: ``validation_failed`` where a tag stands in both lists; the code.
    """
    adds, removes = call.body.get("add", ()), call.body.get("remove", ())
    for index, tag in enumerate(removes):
        if tag in adds:
            raise invalid(f"#/remove/{index}", "invalid_value", f"{tag} stands in both lists")
    kept = [tag for tag in call.found.doc.get("tags", ()) if tag not in removes]
    tags = kept + [tag for tag in adds if tag not in kept]
    if len(tags) > MAX_TAGS:
        raise refused(code, f"{subject} would have {len(tags)} tags; {MAX_TAGS} are allowed.", "#/add")
    return tags
