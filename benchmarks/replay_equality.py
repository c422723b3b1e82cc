"""Does a replay play the rounds that live decoding plays, on real models?

    python -m benchmarks.replay_equality --engine hf --dtype float32 --profile PROFILE
    python -m benchmarks.replay_equality --engine llama_cpp --profile PROFILE

Each prompt is traced once; then every strategy decodes it live, and each round's drafter passes,
draft length, accepted length and stop reason are held against those of the replay. Where texts
part, rounds are compared up to there, and the divergence is judged as in greedy_equality. Where
rounds differ although texts do not, both rounds are kept: the widths of passes differ between
decoding and tracing, so laws may differ in their last digits. No time is measured here.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.console import console, progress_bar
from benchmarks.resumable import ResumableRows
from smart_speed.calibration.here import shipped_profile
from smart_speed.calibration.search import GRIDS
from smart_speed.config import EntropyConfig
from smart_speed.divergence import find_divergence
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel, shared_len
from smart_speed.generation import Result
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import LoadOptions, load_drafter, load_verifier
from smart_speed.profiles import Profile, read_profile, shared_settings
from smart_speed.prompting import Prompt, encode_prompt
from smart_speed.records import RoundRecord
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.strategies import STRATEGIES
from smart_speed.tracing.prepared import PreparedTrace
from smart_speed.tracing.record import TraceRecorder
from smart_speed.tracing.replay import replay
from smart_speed.tracing.rounds import ReplayedRound
from smart_speed.tracing.traces import Trace, entropy_type_of
from smart_speed.workloads.builtin import builtin_prompts


def main() -> None:
    """Run what the command line asks for, going on from where an earlier run stopped."""
    args = _parser().parse_args()
    options = LoadOptions(
        engine=args.engine, dtype=args.dtype, quantize=args.quantize, threads=args.threads
    )
    verifier = load_verifier("default", options)
    drafter = load_drafter(args.drafter, verifier, options)
    profile = read_profile(args.profile) if args.profile else _shipped(args, verifier, drafter)
    configs = conditions_of(profile)
    settings = {
        "verifier": verifier.description,
        "drafter": args.drafter,
        "tokens": args.tokens,
        "conditions": {name: config.resolved() for name, config in configs.items()},
    }
    name = f"replay-equality-{args.engine}-{args.dtype or args.quantize}.jsonl"
    path = args.out or Path(__file__).parent / "results" / name
    kept = ResumableRows(path, settings)
    done = {row["prompt_id"] for row in kept.rows}
    prompts = builtin_prompts(per_task=-(-args.prompts // 6))[: args.prompts]
    with progress_bar("prompts") as progress:
        for number, each in enumerate(prompts):
            progress(number, len(prompts))
            if each.prompt_id in done:
                continue
            chat: Prompt = [{"role": "user", "content": each.text}]
            prompt = each.text if verifier.engine == "toy" else chat
            answers = compare_rounds(verifier, drafter, prompt, configs, args.tokens)
            kept.add({"prompt_id": each.prompt_id, "answers": answers})
    _report(path, kept.rows)


def conditions_of(profile: Profile | None) -> dict[str, EntropyConfig]:
    """Return every strategy with its own settings, and with those of a profile."""
    free = [name for name, kind in STRATEGIES.items() if None not in kind.required.values()]
    configs = {name: EntropyConfig(strategy=name) for name in free}
    if profile is None:
        console.print("No profile: strategies that need one and learned settings are left out.")
        return configs
    for name in GRIDS:
        if settings := profile.settings_of(name):
            configs[f"{name} learned"] = EntropyConfig.from_dict(settings)
        if shared := shared_settings(name, profile.config):
            configs[name] = EntropyConfig.from_dict({"strategy": name, **shared})
    for name, online in (("calibrated", None), ("calibrated online", True)):
        configs[name] = EntropyConfig.from_dict(
            {**profile.config, **({"online": online} if online else {})}
        )
    return configs


def compare_rounds(
    verifier: LoadedModel,
    drafter: Drafter,
    prompt: Prompt,
    configs: Mapping[str, EntropyConfig],
    tokens: int,
) -> list[dict[str, Any]]:
    """Trace a prompt, decode it under every condition, and compare; a row for each condition."""
    longest = max(config.draft_cap for config in configs.values())
    recorder = TraceRecorder(verifier, {"drafter": drafter}, max_draft_len=longest)
    (trace,) = recorder.record(prompt, prompt_id="", max_new_tokens=tokens)
    prepared = PreparedTrace(trace)
    rows = []
    for name, config in configs.items():
        own = None if config.draft_cap == 0 else drafter
        decoder = EntropyBasedSpeculativeDecoder(verifier, own, config)
        decoder.forget()
        result = decoder.generate(prompt, max_new_tokens=tokens)
        row = {"condition": name, **_differences(trace, prepared, config, result)}
        if list(result.tokens) != trace.tokens.tolist():
            found = find_divergence(
                verifier.model,
                encode_prompt(prompt, verifier),
                trace.tokens.tolist(),
                result.tokens,
                prompt_id="",
                condition=name,
            )
            assert found is not None
            row["divergence"] = found.to_json()
        rows.append(row)
    return rows


def _differences(
    trace: Trace, prepared: PreparedTrace, config: EntropyConfig, result: Result
) -> dict[str, Any]:
    """Count the live rounds, as far as texts are one, that the replay has not played."""
    played = {turn.context_len: turn for turn in replay(prepared, config)}
    end = trace.prompt_len + shared_len(trace.tokens.tolist(), result.tokens)
    whole = end == trace.prompt_len + trace.output_len
    live = [
        turn for turn in result.record.rounds if whole or turn.context_len + turn.emitted_len <= end
    ]
    other = [turn for turn in live if played.get(turn.context_len) != _counts(turn)]
    gaps = list(_gaps(prepared, config, live))
    return {
        "num_rounds": len(live),
        "num_different": len(other),
        "first_different": _shown(other, played),
        "largest_entropy_gap": max(gaps, default=0.0),
    }


def _counts(turn: RoundRecord) -> ReplayedRound:
    return ReplayedRound(
        context_len=turn.context_len,
        num_passes=len(turn.entropies_nats),
        draft_len=turn.draft_len,
        accepted_len=turn.accepted_len,
        emitted_len=turn.emitted_len,
        stop_reason=turn.stop_reason,
    )


def _shown(
    other: Sequence[RoundRecord], played: Mapping[int, ReplayedRound]
) -> dict[str, Any] | None:
    """Return the first round that differs, live and as it was replayed."""
    if not other:
        return None
    turn = other[0]
    replayed = played.get(turn.context_len)
    return {
        "live": _counts(turn)._asdict(),
        "entropies_nats": list(turn.entropies_nats),
        "replayed": replayed._asdict() if replayed else None,
    }


def _gaps(
    prepared: PreparedTrace, config: EntropyConfig, live: Sequence[RoundRecord]
) -> Iterator[float]:
    """Yield how far the entropies of first passes are from those of the trace."""
    facts = prepared.facts(entropy_type_of(config))
    for turn in live:
        root = prepared.roots[turn.context_len - prepared.trace.prompt_len]
        if turn.entropies_nats and root >= 0:
            yield abs(turn.entropies_nats[0] - facts[root].entropy_nats)


def _shipped(args: argparse.Namespace, verifier: LoadedModel, drafter: Drafter) -> Profile | None:
    found = verifier_id("default", verifier)
    return shipped_profile(
        verifier.engine, verifier=found, drafter=drafter_id(args.drafter, drafter, found)
    )


def _report(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    answers = [each for row in rows for each in row["answers"]]
    rounds = sum(each["num_rounds"] for each in answers)
    other = [each for each in answers if each["num_different"]]
    parted = [each["divergence"] for each in answers if "divergence" in each]
    ties = sum(bool(each["near_tie"]) for each in parted)
    gap = max((each["largest_entropy_gap"] for each in answers), default=0.0)
    console.print(
        f"{path.name}: {len(rows)} prompts, {len(answers)} answers, {rounds} rounds compared: "
        f"{rounds - sum(each['num_different'] for each in other)} are those of the replay; "
        f"{len(other)} answers have others. {ties} texts part at a near-tie, "
        f"{len(parted) - ties} otherwise. Entropies differ by {gap:.1e} nats at most."
    )
    for each in other:
        console.print(f"  {each['condition']}: {each['first_different']}", markup=False)
    for each in parted:
        console.print(
            f"  {each['condition']}: texts part at token {each['position']}, logit gap "
            f"{each['logit_gap']}, noise of the pass's width there {each['pass_noise']}",
            markup=False,
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", default="llama_cpp")
    parser.add_argument("--dtype")
    parser.add_argument("--quantize", default="auto")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--drafter", default="nano+ngram")
    parser.add_argument("--profile", type=Path, help="default: the one that comes along, if any")
    parser.add_argument("--prompts", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--out", type=Path, help="JSON lines; default by engine and format")
    return parser


if __name__ == "__main__":
    main()
