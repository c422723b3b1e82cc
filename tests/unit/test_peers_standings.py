"""Who wins among peers, and whether their drawn texts keep the law."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.peers.catalogue import specs_of
from benchmarks.peers.laws import distance, draw_all, laws_of, show_laws
from benchmarks.peers.standings import standings_of
from benchmarks.peers.worker_process import PeerError
from benchmarks.resumable import ResumableRows
from tests.unit.peers_scripted import WARM_UP, Scripted, answer_of, contestant, specs


def standing_rows(speeds: Mapping[str, Mapping[str, float]]) -> list[dict[str, Any]]:
    """One answer of 10 tokens to each of two prompts of every task, at a peer's speed there."""
    return [
        {
            "task": task,
            "answers": {
                name: {"status": "ok", "decode_len": 10, "decode_s": 10 / speed}
                for name, speed in by_name.items()
            },
        }
        for task, by_name in speeds.items()
        for _ in range(2)
    ]


def test_standings_are_against_the_fastest_of_each_kind_on_each_task() -> None:
    known = [
        each
        for each in specs_of(dtype="bfloat16", threads=2, ending=[2])
        if each.name.startswith(("smart_speed llama_cpp", "llama.cpp", "transformers, plain"))
    ]
    ours, plain = "smart_speed llama_cpp, default", "smart_speed llama_cpp, plain"
    math = {ours: 60.0, plain: 30.0, "llama.cpp, default": 20.0, "llama.cpp, confident": 40.0}
    chat = {ours: 50.0, plain: 40.0, "llama.cpp, default": 80.0, "llama.cpp, confident": 25.0}
    math |= {"llama.cpp, n-grams": 48.0, "llama.cpp, plain, flash off": 10.0}
    chat |= {"llama.cpp, n-grams": 40.0, "llama.cpp, plain, flash off": 25.0}
    rows = standing_rows({"math": math, "chat": chat})
    rows[0]["answers"]["llama.cpp, recommended"] = {"status": "error", "reason": "It fell."}
    found = {(each["ours"], each["over"]): each for each in standings_of(rows, known)}
    values = {
        over: [round(each["value"], 3) for each in standing["by_task"].values()]
        for (name, over), standing in found.items()
        if name == ours
    }
    assert values == {
        "its plain decoding": [2.0, 1.25],
        "same engine, with a drafter": [1.5, 0.625],
        "same engine, with n-grams": [1.25, 1.25],
        "same engine, plain": [6.0, 2.0],
        "all peers": [1.25, 0.625],
    }
    drafting = found[ours, "same engine, with a drafter"]
    assert drafting["who"] == ["llama.cpp, default", "llama.cpp, confident"]
    assert drafting["median_of_tasks"]["value"] == pytest.approx(1.0625)
    assert list(found)[-1] == ("fastest of ours", "all peers")


def test_standings_need_somebody_to_compare_with() -> None:
    known = specs_of(dtype="bfloat16", threads=2, ending=[2])
    assert standings_of(standing_rows({"math": {"smart_speed hf, plain": 30.0}}), known) == []


class Drawing:
    """Answers with one of two tokens, the first with a probability of its own."""

    def __init__(self, share: float, seeds: list[int]) -> None:
        self._share, self._seeds = share, seeds

    def ask(self, request: Mapping[str, Any], *, timeout_s: float) -> dict[str, Any]:
        if request == WARM_UP:
            return answer_of(request)
        self._seeds.append(request["seed"])
        token = 5 if np.random.default_rng(request["seed"]).random() < self._share else 6
        reply = answer_of(request)
        reply["answer"]["tokens"] = [token, 9, 9]  # the end, and what an engine made of it
        return reply

    def stop(self) -> None:
        pass


def drawn(folder: Path, shares: Mapping[str, float], count: int = 400) -> dict[str, Any]:
    seeds: list[int] = []
    peers = {name: contestant(Drawing(share, seeds)) for name, share in shares.items()}
    peers["absent"] = contestant(Scripted([PeerError("It failed: not for this processor.")]))
    rows = ResumableRows(folder / "draws.jsonl", {})
    prompts = {"one": [1], "two": [2]}
    draw_all(peers, prompts, rows, temperature=0.7, count=count)
    assert len(set(seeds)) == len(seeds) / len(prompts)
    laws = laws_of(rows.rows, specs(), ending=[9])
    failed = {row["peer"]: row["failure"] for row in rows.rows if row["failure"]}
    return {"temperature": 0.7, "laws": laws, "left_out": failed}


def test_texts_of_another_law_are_told_from_plain_decoding_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shares = {"ours, plain": 0.5, "ours": 0.5, "theirs, plain": 0.5, "theirs": 0.65}
    document = drawn(tmp_path, shares)
    assert set(document["laws"]) == {"ours", "theirs"}
    ours, theirs = document["laws"]["ours"], document["laws"]["theirs"]
    assert theirs["p"] < 0.005 < 0.05 < ours["p"]
    assert theirs["by_prompt"]["one"]["num_draws"] == [400, 400]
    assert theirs["by_prompt"]["one"]["num_texts"] == 2
    assert theirs["by_prompt"]["one"]["variation"] == pytest.approx(0.15, abs=0.08)
    show_laws(document)
    assert "absent is left out: It failed" in capsys.readouterr().err


def test_one_law_is_called_another_as_seldom_as_the_test_promises() -> None:
    generator = np.random.default_rng(3)
    shares = [0.4, 0.3, 0.2, 0.05, 0.05]
    counts = generator.multinomial(300, shares, size=(300, 2))

    def sample(own: np.ndarray) -> Counter[tuple[int, ...]]:
        return Counter({(at,): int(number) for at, number in enumerate(own)})

    found = [distance(sample(mine), sample(other))["p"] for mine, other in counts]
    assert np.mean(np.array(found) < 0.05) < 0.09
    assert 0.4 < np.mean(found) < 0.65


def test_draws_go_on_where_they_stopped(tmp_path: Path) -> None:
    shares = {"ours, plain": 0.5, "ours": 0.5}
    first = drawn(tmp_path, shares, count=20)
    lines = (tmp_path / "draws.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "draws.jsonl").write_text("".join(lines[:3]), "utf-8")
    rows = ResumableRows(tmp_path / "draws.jsonl", {})
    peers = {name: contestant(Drawing(share, [])) for name, share in shares.items()}
    draw_all(peers, {"one": [1], "two": [2]}, rows, temperature=0.7, count=20)
    assert laws_of(rows.rows, specs(), ending=[9]) == first["laws"]
