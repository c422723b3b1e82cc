"""smart-speed generate --compare: several conditions, and who was faster."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table

from smart_speed.cli import arguments
from smart_speed.cli.console import console, print_json, say
from smart_speed.cli.figures import interval, number
from smart_speed.cli.gauge import Gauge, progress_bar
from smart_speed.cli.prompts import NamedPrompt
from smart_speed.comparison import BASELINE, Comparison, compare
from smart_speed.config import EntropyConfig
from smart_speed.divergence import Divergence
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.recording import RecordingDrafter
from smart_speed.engines.base import LoadedModel
from smart_speed.errors import ConfigError, check_that
from smart_speed.heatmap_data import heatmap_of
from smart_speed.loading import load_drafter, load_verifier
from smart_speed.profiles import Profile
from smart_speed.reporting.heatmap import write_heatmap
from smart_speed.rules import PHASE_SETTINGS, is_lossless, settings_read_by
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from smart_speed.strategies import STRATEGIES, kind_of

DEFAULT = "plain,fixed:4,fixed:8,absolute,relative,window,combined,adaptive"
"""The conditions of a comparison that names none."""

_HEADINGS = (
    "condition", "tok/s", "speed", "interval", "accept", "emit", "draft", "passes", "same"
)  # fmt: skip


def parse_conditions(
    names: str, settings: Mapping[str, Any], profile: Profile | None = None
) -> dict[str, EntropyConfig]:
    """Return the conditions that a list names, plain decoding always among them.

    Args:
        names: Strategies, separated by commas; ``fixed:4`` sets the cap of one.
        settings: Fields of ``EntropyConfig`` for every condition that reads them.
        profile: What was learned for strategies; settings go first.

    Raises:
        ConfigError: If a name is unknown, or no condition reads a setting.
    """
    unread = {key: value for key, value in settings.items() if key != "strategy"}
    conditions: dict[str, EntropyConfig] = {}
    for name in dict.fromkeys([BASELINE, *names.split(",")]):
        strategy, _, cap = name.strip().partition(":")
        check_that(not cap or cap.isdecimal(), "a cap in --compare", "a whole number", cap)
        own = _read_by(strategy, settings)
        for key in own:
            unread.pop(key, None)
        learned = profile.decoding_settings(strategy) if profile else {}
        own = {**_read_by(strategy, learned), **own}
        if cap:
            own["max_draft_len"] = int(cap)
        own["strategy"] = strategy
        config = EntropyConfig.from_dict(profile.with_phases(own) if profile else own)
        conditions[name.strip().replace(":", "-")] = config
    for key, value in unread.items():
        raise ConfigError(f"{key} must be left out: no condition reads it, got {value!r}.")
    return conditions


def _read_by(strategy: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that a strategy reads."""
    kind = kind_of(strategy)
    own = kind.settings()
    particular = {key for each in STRATEGIES.values() for key in each.settings()}
    if not kind.max_draft_len and not is_lossless(settings.get("verification", "auto")):
        # Nothing is drafted that could be accepted leniently: the baseline stays exact.
        particular |= {"verification", *settings_read_by(settings["verification"])}
    return {
        key: value
        for key, value in settings.items()
        if key in own or key not in {*particular, *kind.ignores, "strategy", "options"}
    }


def with_phases(config: EntropyConfig, profile: Profile) -> EntropyConfig:
    """Return a configuration whose records tell phases apart, for a heat map to shade them."""
    if config.phases:
        return config
    return replace(config, **{**PHASE_SETTINGS, **profile.phase_settings})


def run(
    args: argparse.Namespace,
    conditions: Mapping[str, EntropyConfig],
    prompts: Sequence[NamedPrompt],
    sampling: Sampling,
    profile: Profile,
) -> int:
    """Answer every prompt under every condition and report."""
    options = arguments.load_options(args, say)
    verifier = load_verifier(args.verifier, options)
    drafter = load_drafter(args.drafter, verifier, options)
    arguments.check_profile(args, profile, verifier, drafter)
    if args.compare == DEFAULT and (found := arguments.default_profile(args, verifier, drafter)):
        conditions = {**conditions, "calibrated": EntropyConfig.from_dict(found.config)}
    say(f"Verifier {verifier.description}; drafter {drafter.name}; prompts: {len(prompts)}.")
    decoders = {
        name: EntropyBasedSpeculativeDecoder(verifier, drafter, config)
        for name, config in conditions.items()
    }
    with progress_bar() as bar, Gauge(bar, "answers") as gauge:
        comparison = compare(
            decoders,
            [(prompt.prompt_id, prompt.prompt) for prompt in prompts],
            max_new_tokens=args.max_new_tokens,
            sampling=sampling,
            progress=gauge.show,
        )
    if args.json:
        print_json(_document(comparison, conditions))
    else:
        _show(comparison, list(conditions), sampling)
        if lossy := [name for name, config in conditions.items() if not config.lossless]:
            say(f"Lossy: {', '.join(lossy)}.")
    if args.html:
        entropic = [name for name in conditions if name != BASELINE and "fixed" not in name]
        shown = next(iter(entropic), BASELINE)
        config = with_phases(conditions[shown], profile)
        _draw(args, verifier, drafter, config, prompts[0], sampling)
        say(f"Heat map of {prompts[0].prompt_id} under {shown} written to {args.html}.")
    return 0


def _draw(
    args: argparse.Namespace,
    verifier: LoadedModel,
    drafter: Drafter,
    config: EntropyConfig,
    prompt: NamedPrompt,
    sampling: Sampling,
) -> None:
    """Answer once more with a drafter that records what it thought, and draw that."""
    recorder = RecordingDrafter(drafter)
    decoder = EntropyBasedSpeculativeDecoder(verifier, recorder, config)
    result = decoder.generate(
        prompt.prompt,
        max_new_tokens=args.max_new_tokens,
        sampling=sampling,
        prompt_id=prompt.prompt_id,
    )
    passes = recorder.passes if config.draft_cap else None
    page = heatmap_of(
        result,
        prompt=prompt.text,
        decode=verifier.tokenizer.decode,
        passes=passes,
        phases=config.phases,
    )
    write_heatmap(args.html, page)


def _document(comparison: Comparison, conditions: Mapping[str, EntropyConfig]) -> dict[str, Any]:
    return {
        "baseline": BASELINE,
        "conditions": {
            name: {
                "config": config.resolved(),
                "lossless": config.lossless,
                **comparison.figures(name),
            }
            for name, config in conditions.items()
        },
        "answers": [
            {"text": result.text, "tokens": list(result.tokens), "record": result.record.to_json()}
            for result in comparison.results.values()
        ],
        "divergences": [divergence.to_json() for divergence in comparison.divergences],
    }


def _show(comparison: Comparison, names: Sequence[str], sampling: Sampling) -> None:
    table = Table(
        title="Over plain decoding, 95 % intervals over prompts", box=SIMPLE_HEAD, pad_edge=False
    )
    for heading in _HEADINGS:
        justify: Literal["left", "right"] = "left" if heading == "condition" else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for name in names:
        row = comparison.figures(name)
        table.add_row(
            name,
            number(row["tokens_per_decode_s"], ".1f"),
            number(row["speedup_over_plain"], ".2f"),
            interval({"low": row["speedup_low"], "high": row["speedup_high"]}, ".2f"),
            number(row["acceptance_rate"], ".0%"),
            number(row["mean_emitted_len"], ".2f"),
            number(row["mean_draft_len"], ".2f"),
            number(row["drafter_passes_per_token"], ".2f"),
            _same(row, sampling),
        )
    console.print(table)
    console.print(
        "accept: share of drafted tokens; emit, draft: tokens a round, the verifier's own one "
        "counted as emitted; passes: of the drafter for each output token; same: texts that are "
        "plain decoding's, token for token",
        style="dim",
    )
    for sentence in _explain(comparison.divergences):
        console.print(sentence, style="yellow", markup=False)


def _explain(divergences: Sequence[Divergence]) -> list[str]:
    """Say where texts parted, the conditions that part alike together."""
    groups: dict[tuple[str, int, tuple[int | None, int | None]], list[Divergence]] = {}
    for each in divergences:
        groups.setdefault((each.prompt_id, each.position, each.tokens), []).append(each)
    return [
        f"{prompt_id} parts from plain at output token {position} under "
        f"{', '.join(each.condition for each in group)}: " + _judgement(group[0])
        for (prompt_id, position, _), group in groups.items()
    ]


def _judgement(divergence: Divergence) -> str:
    if divergence.logit_gap is None:
        return "NOT A NEAR-TIE, one of them ends there"
    return (
        f"{'a near-tie' if divergence.near_tie else 'NOT A NEAR-TIE'}, logit gap "
        f"{divergence.logit_gap:.3f} where the width of a pass moves logits by up to "
        f"{divergence.pass_noise:.3f}"
    )


def _same(row: Mapping[str, Any], sampling: Sampling) -> str:
    if row["num_divergences"] is None:
        return "lossy"
    if not sampling.greedy:
        return "same law"
    return f"{row['num_sequences'] - row['num_divergences']}/{row['num_sequences']}"
