"""Arguments that several subcommands share, and what they become."""

import argparse
from collections.abc import Callable
from typing import Any, get_args, get_type_hints

from smart_speed.calibration.here import default_profile as calibrated_here
from smart_speed.cli.console import say
from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.identity import drafter_id, verifier_id
from smart_speed.loading import LoadOptions, shipped_drafters
from smart_speed.profiles import Profile
from smart_speed.rules import readers_of
from smart_speed.sampling import Sampling
from smart_speed.strategies import STRATEGIES

_DECODING_HELP = {
    "max_draft_len": "most tokens a round may draft",
    "min_draft_len": "tokens a round drafts before the strategy is asked",
    "stop_placement": "propose the token whose law was uncertain (after) or not (before)",
    "entropy_type": "shannon, renyi or topk",
    "entropy_of": "measure the drafter's raw law or the one that is sampled",
    "renyi_order": "order of Rényi's entropy",
    "entropy_top_k": "tokens that the top-k entropy keeps",
    "verification": "auto, greedy, speculative or block, all lossless; or one that may write what "
    "the verifier would not: relaxed, easd, typical or fly",
    "theta_phase": "nats of the verifier's law between predictable and reasoning phases; read by "
    "relaxed, and with any rule for --html",
    "relax_in": "read by relaxed: low (predictable phases), high (reasoning ones) or always",
    "route_by": "read by route: gain, chain, hedge, or the drafter that is always to draft",
}
"""Settings that are words, and those that every strategy reads; the others say which do."""

_SAMPLING_HELP = {
    "temperature": "0 for greedy decoding",
    "top_k": "keep the k likeliest tokens",
    "top_p": "keep the likeliest tokens that reach this probability",
    "min_p": "keep tokens with this share of the top probability",
    "repetition_penalty": "1 for none",
    "seed": "of the random draws",
    "ignore_eos": "go on past the end of text, to measure a fixed length",
}


def add_model_arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add what says which models to load, and how.

    Args:
        parser: To be added to.
        several: Whether there may be more than one drafter.
    """
    group = parser.add_argument_group("models")
    group.add_argument(
        "--verifier",
        default="default",
        metavar="MODEL",
        help="folder, GGUF file, hub id, or 'default' (the embedded SmolLM2-135M-Instruct)",
    )
    group.add_argument(
        "--drafters" if several else "--drafter",
        default="default",
        metavar="LIST" if several else "MODEL",
        help=("separated by commas, each " if several else "")
        + "the same, or 'ngram', or 'layers:N' (the verifier's own first layers)"
        + _shipped()
        + "; 'NAME+ngram' blends one with the text's n-grams"
        + ("" if several else "; 'route:A,B' chooses among several before each round"),
    )
    group.add_argument("--engine", default="auto", help="auto, hf, llama_cpp, openvino or toy")
    group.add_argument("--device", help="hf: cpu, cuda, cuda:1 …")
    group.add_argument("--dtype", help="hf and openvino: float32, bfloat16 or float16")
    group.add_argument(
        "--quantize", default="auto", help="llama_cpp: auto, none, bf16, q8_0 or q4_0"
    )
    group.add_argument("--threads", type=int, metavar="N", help="cores to use")
    group.add_argument("--context-len", type=int, metavar="N", help="tokens that a cache holds")


def _shipped() -> str:
    """Return how the help goes on about drafters that come with the package."""
    names = [f"'{name}'" for name in shipped_drafters()]
    return f", or {' or '.join(names)} (made for the embedded verifier)" if names else ""


def load_options(args: argparse.Namespace, say: Callable[[str], None]) -> LoadOptions:
    """Return what the model arguments ask for."""
    return LoadOptions(
        engine=args.engine,
        device=args.device,
        dtype=args.dtype,
        quantize=args.quantize,
        threads=args.threads,
        context_len=args.context_len,
        say=say,
    )


def add_decoding_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per field of ``EntropyConfig``."""
    group = parser.add_argument_group("drafting and verification")
    group.add_argument("--strategy", help=f"one of {', '.join(STRATEGIES)}, or a plug-in's name")
    group.add_argument(
        "--profile",
        metavar="FILE",
        help="settings from a JSON file, such as `calibrate` writes; flags go first",
    )
    group.add_argument(
        "--force", action="store_true", help="use a profile that was made for something else"
    )
    for name, kind in _scalar_types(EntropyConfig).items():
        readers = [key for key, value in STRATEGIES.items() if name in value.settings()]
        readers += readers_of(name)
        text = _DECODING_HELP.get(name) or f"read by {', '.join(readers)}"
        _add_flag(group, name, kind, text)


def decoding_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of ``EntropyConfig`` that were given, the strategy not among them."""
    names = _scalar_types(EntropyConfig)
    return {name: value for name in names if (value := getattr(args, name)) is not None}


def check_profile(
    args: argparse.Namespace, profile: Profile, verifier: LoadedModel, drafter: Drafter
) -> None:
    """Refuse a profile that was made for something else, unless that is what was asked for.

    Raises:
        ConfigError: If it was.
    """
    if args.force:
        return
    made_for = profile.verifier is not None or profile.drafter is not None
    found = verifier_id(args.verifier, verifier) if made_for else ""
    drafting = drafter_id(args.drafter, drafter, found) if made_for else ""
    profile.check_models(engine=verifier.engine, verifier=found, drafter=drafting)
    profile.check_sampling(sampling(args))


def default_profile(
    args: argparse.Namespace, verifier: LoadedModel, drafter: Drafter
) -> Profile | None:
    """Return what comes with the package for the models, unless something else is asked for.

    It was learned from greedy texts, and drafts as fast at a temperature as one learned there
    (experiments/LOG.md). A profile or any setting of one's own goes first.
    """
    if args.profile or args.strategy or decoding_settings(args):
        return None
    names = (args.verifier, args.drafter)
    return calibrated_here(names, verifier, drafter, say)


def add_sampling_arguments(parser: argparse.ArgumentParser) -> None:
    """Add one flag per field of ``Sampling``."""
    group = parser.add_argument_group("output")
    group.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    types = _scalar_types(Sampling)
    for name, text in _SAMPLING_HELP.items():
        _add_flag(group, name, types[name], text)
    group.add_argument(
        "--stop", action="append", default=[], metavar="TEXT", help="end the output before TEXT"
    )
    group.add_argument(
        "--stop-token", action="append", default=[], type=int, metavar="ID", help="end it after ID"
    )


def sampling(args: argparse.Namespace) -> Sampling:
    """Return what the output arguments ask for."""
    given = {name: value for name in _SAMPLING_HELP if (value := getattr(args, name)) is not None}
    return Sampling(**given, stop_strings=tuple(args.stop), stop_tokens=tuple(args.stop_token))


def _scalar_types(settings: type) -> dict[str, type]:
    """Return the fields that a flag can set, with the type that parses them."""
    found: dict[str, type] = {}
    for name, hint in get_type_hints(settings).items():
        kinds = [kind for kind in (int, float, bool) if kind is hint or kind in get_args(hint)]
        if kinds:
            found[name] = kinds[0]
        elif name in _DECODING_HELP:
            found[name] = str
    return found


def _add_flag(group: Any, name: str, kind: type, text: str) -> None:
    flag = f"--{name.replace('_', '-')}"
    if kind is bool:
        group.add_argument(flag, action="store_true", default=None, help=text)
    else:
        group.add_argument(flag, type=kind, metavar=kind.__name__.upper(), help=text)
