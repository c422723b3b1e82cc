"""smart-speed generate: answer a prompt with verified text, as it is accepted."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from smart_speed.calibration.leniency import loosest_settings
from smart_speed.cli import arguments, comparing
from smart_speed.cli.console import check_writable, print_json, say
from smart_speed.cli.prompts import NamedPrompt, read_prompts
from smart_speed.config import EntropyConfig
from smart_speed.drafters.recording import RecordingDrafter
from smart_speed.errors import check_that
from smart_speed.evaluation import acceptance_rate, mean_emitted_len, tokens_per_decode_s
from smart_speed.generation import Generation, Result
from smart_speed.heatmap_data import heatmap_of
from smart_speed.loading import load_drafter, load_verifier
from smart_speed.profiles import Profile, read_profile
from smart_speed.reporting.heatmap import write_heatmap
from smart_speed.rules import readers_of
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

_DECIDED = "left out with --max-divergence, which decides it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    group = parser.add_argument_group("prompt")
    group.add_argument("prompt", nargs="?", help="a text; '-' or nothing reads standard input")
    group.add_argument("--file", metavar="FILE", type=Path, help="read the prompt from a file")
    group.add_argument(
        "--builtin", type=int, metavar="N", help="with --compare: N built-in prompts of each task"
    )
    group.add_argument("--chat", action="store_true", help="use the model's chat template")
    group.add_argument("--system", metavar="TEXT", help="with --chat: what the model is told first")
    arguments.add_model_arguments(parser)
    arguments.add_decoding_arguments(parser)
    parser.add_argument(
        "--max-divergence", type=float, metavar="PERCENT",
        help="accept leniently as long as calibration says that the text loses no more "
        "log-likelihood per token; needs a profile of `calibrate --fidelity`",
    )  # fmt: skip
    arguments.add_sampling_arguments(parser)
    group = parser.add_argument_group("results")
    group.add_argument(
        "--compare",
        nargs="?",
        const=comparing.DEFAULT,
        metavar="NAMES",
        help=f"run several conditions, interleaved, and show a table; default {comparing.DEFAULT}",
    )
    group.add_argument("--json", action="store_true", help="one JSON document on standard output")
    group.add_argument("--html", metavar="FILE", type=Path, help="write a heat map of entropy")


def run(args: argparse.Namespace) -> int:
    """Answer the prompt, or compare conditions on it."""
    alone = args.max_divergence is None or not args.compare
    check_that(alone, "--max-divergence", "left out with --compare", args.max_divergence)
    sampling = arguments.sampling(args)
    profile = read_profile(Path(args.profile)) if args.profile else Profile()
    given = arguments.decoding_settings(args)
    if args.compare:
        conditions = comparing.parse_conditions(args.compare, given, profile)
    else:
        if args.max_divergence is not None:
            profile = _lenient(args, profile)
        strategy = args.strategy or profile.config.get("strategy", "absolute")
        settings = {**profile.decoding_settings(strategy), **given, "strategy": strategy}
        conditions = {"": EntropyConfig.from_dict(profile.with_phases(settings))}
    for config in conditions.values():
        config.build_rule(greedy=sampling.greedy)
    prompts = read_prompts(args)
    if args.html:
        check_writable(args.html)
    if args.compare:
        return comparing.run(args, conditions, prompts, sampling, profile)
    return _answer(args, conditions[""], prompts[0], sampling, profile)


def _lenient(args: argparse.Namespace, profile: Profile) -> Profile:
    """Return the profile with the loosest settings that keep the bound, and say which."""
    check_that(not args.strategy, "strategy", _DECIDED, args.strategy)
    for name, value in arguments.decoding_settings(args).items():
        check_that(name != "verification" and not readers_of(name), name, _DECIDED, value)
    settings = loosest_settings(profile, args.max_divergence)
    if settings is None:
        say(f"No lenient setting keeps {args.max_divergence:g} % and is faster: decoding exactly.")
        return profile
    chosen = {key: val for key, val in settings.items() if profile.config.get(key) != val}
    told = ", ".join(f"{key} {val}" for key, val in chosen.items())
    say(f"Lossy, for at most {args.max_divergence:g} % of divergence: {told}.")
    return replace(profile, config=settings)


def _answer(
    args: argparse.Namespace,
    config: EntropyConfig,
    prompt: NamedPrompt,
    sampling: Sampling,
    profile: Profile,
) -> int:
    options = arguments.load_options(args, say)
    verifier = load_verifier(args.verifier, options)
    drafter = load_drafter(args.drafter, verifier, options) if config.draft_cap else None
    if drafter:
        arguments.check_profile(args, profile, verifier, drafter)
        learned = arguments.default_profile(args, verifier, drafter)
        config = EntropyConfig.from_dict(learned.config) if learned else config
        profile = learned or profile
    config = comparing.with_phases(config, profile) if args.html else config
    recorder = RecordingDrafter(drafter) if drafter and args.html else None
    decoder = EntropyBasedSpeculativeDecoder(verifier, recorder or drafter, config)
    say(f"Verifier {verifier.description}; drafter {decoder.drafter.name}; {config.name}.")
    generation = decoder.stream(
        prompt.prompt,
        max_new_tokens=args.max_new_tokens,
        sampling=sampling,
        prompt_id=prompt.prompt_id,
    )
    result, status = _collect(generation, show=not args.json)
    if args.html:
        passes = recorder.passes if recorder else None
        decode = verifier.tokenizer.decode
        page = heatmap_of(
            result, prompt=prompt.text, decode=decode, passes=passes, phases=config.phases
        )
        write_heatmap(args.html, page)
        say(f"Heat map written to {args.html}.")
    if args.json:
        document = _document(result, config, prompt)
        print_json(document | {"verifier": verifier.description, "drafter": decoder.drafter.name})
    else:
        _summarise(result)
    return status


def _collect(generation: Generation, *, show: bool) -> tuple[Result, int]:
    """Run to the end, or to Ctrl-C, which keeps what was verified until then."""
    status = 0
    try:
        for piece in generation:
            if show:
                sys.stdout.write(piece)
                sys.stdout.flush()
    except KeyboardInterrupt:
        status = 130
    if show:
        sys.stdout.write("\n")
    return generation.result(), status


def _document(result: Result, config: EntropyConfig, prompt: NamedPrompt) -> dict[str, Any]:
    return {
        "text": result.text,
        "tokens": list(result.tokens),
        "record": result.record.to_json(),
        "config": config.resolved(),
        "prompt": prompt.text,
    }


def _summarise(result: Result) -> None:
    record = result.record
    if not record.rounds:
        say("Nothing was generated.")
        return
    drafted = any(turn.draft_len for turn in record.rounds)
    say(
        f"Tokens: {record.output_len}; rounds: {len(record.rounds)}; ended by "
        f"{record.finish_reason}; {tokens_per_decode_s([record]):.1f} tokens/s, "
        f"{mean_emitted_len([record]):.2f} a round"
        + (f", {acceptance_rate([record]):.0%} of the drafted ones accepted." if drafted else ".")
    )
    if not record.lossless:
        inexact = sum(turn.inexact_len for turn in record.rounds)
        say(
            f"Lossy: {inexact} of the drafted tokens were decided otherwise than by the exact test."
        )
