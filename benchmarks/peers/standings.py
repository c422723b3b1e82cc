"""Who wins: what smart_speed does against the fastest of each kind of peer, task by task.

Which peer is fastest is decided on each task by itself, and anew in each bootstrap sample: that is
harder than any one peer is, and chance makes it a little harder still.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.peers.catalogue import PeerSpec
from benchmarks.peers.figures import Rows, by_task, tables_of

ALL = "all peers"


def standings_of(rows: Rows, specs: Sequence[PeerSpec]) -> list[dict[str, Any]]:
    """Return how many times as fast each of ours is as the fastest of some peers.

    Args:
        rows: Of ``run_all``, at one temperature.
        specs: Of those that took part in them.

    Returns:
        Of each pair its name, the kind of peers, who they are, and the figures of ``by_task``; at
        last those of the fastest of ours, on each task, against the fastest of all.
    """
    answered = {
        name
        for row in rows
        for name, each in row["answers"].items()
        if each["status"] == "ok" and each["decode_len"]
    }
    told = [spec for spec in specs if spec.name in answered]
    ours = [spec.name for spec in told if spec.ours and spec.name != spec.baseline]
    peers = [spec.name for spec in told if not spec.ours]
    by_name = {spec.name: spec for spec in told}
    found = [
        _standing(rows, name, [name], kind, others)
        for name in ours
        for kind, others in _kinds(by_name[name], told).items()
        if others
    ]
    if ours and peers:
        found.append(_standing(rows, "fastest of ours", ours, ALL, peers))
    return found


def _kinds(spec: PeerSpec, told: Sequence[PeerSpec]) -> Mapping[str, list[str]]:
    """Return by kind whom one of ours is compared with."""
    others = [each for each in told if not each.ours]
    same_engine = [each for each in others if each.engine == spec.engine]
    drafting = [each for each in same_engine if each.settings.get("drafter")]
    plain = [each for each in same_engine if each.name.startswith(each.baseline)]
    return {
        "its plain decoding": [each.name for each in told if each.name == spec.baseline],
        "same engine, with a drafter": [each.name for each in drafting],
        "same engine, with n-grams": [
            each.name for each in same_engine if each not in drafting and each not in plain
        ],
        "same engine, plain": [each.name for each in plain],
        ALL: [each.name for each in others],
    }


def _standing(
    rows: Rows, name: str, ours: Sequence[str], kind: str, others: Sequence[str]
) -> dict[str, Any]:
    tables = tables_of(rows, [*ours, *others])

    def faster(sums: np.ndarray) -> np.ndarray:
        speeds = sums[..., ::2] / sums[..., 1::2]
        ratio: np.ndarray = speeds[..., : len(ours)].max(-1) / speeds[..., len(ours) :].max(-1)
        return ratio

    return {"ours": name, "over": kind, "who": list(others), **by_task(tables, faster)}
