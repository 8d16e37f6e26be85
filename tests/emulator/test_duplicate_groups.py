"""Groups of duplicates: pairs join, and no group grows beyond fifty."""

from __future__ import annotations

from itertools import pairwise

from crm_reference.emulator.duplicate_groups import MAX_GROUP, components


def _pair(one: str, other: str, score: int = 90) -> dict[str, object]:
    return {"ship_ids": [one, other], "score": score}


def test_pairs_with_a_record_in_common_join():
    groups = components([_pair("a", "b", 95), _pair("d", "e"), _pair("b", "c", 80)], "ship_ids")

    assert [members for members, _ in groups] == [["a", "b", "c"], ["d", "e"]]
    assert [pair["score"] for pair in groups[0][1]] == [95, 80]


def test_a_group_has_fifty_records_at_most():
    names = [f"{n:03}" for n in range(MAX_GROUP + 2)]
    chain = [_pair(one, other) for one, other in pairwise(names)]
    groups = components(chain, "ship_ids")

    assert [len(members) for members, _ in groups] == [MAX_GROUP, 2]
