"""smart-speed profile show: explain what was learned, in tables and plots."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from smart_speed.cli.console import check_writable, console, print_json, say
from smart_speed.cli.figures import interval, number, plain_table
from smart_speed.errors import ConfigError, check_that
from smart_speed.profiles import Profile, read_profile
from smart_speed.stopping.routing import Routing
from smart_speed.tracing.costs import CostModel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this subcommand's arguments."""
    parser.add_argument("action", choices=["show"], help="what to do with it")
    parser.add_argument("file", type=Path, help="a profile, or a folder that calibrate wrote")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it: .svg, .png or .pdf")
    parser.add_argument("--json", action="store_true", help="print the profile itself")


def run(args: argparse.Namespace) -> int:
    """Show a profile."""
    path = args.file / "profile.json" if args.file.is_dir() else args.file
    profile = read_profile(path)
    if args.plot:
        known = args.plot.suffix in (".svg", ".png", ".pdf")
        check_that(known, "--plot", "a file that ends in .svg, .png or .pdf", str(args.plot))
        check_writable(args.plot)
    if args.json:
        print_json(profile.to_json())
    else:
        show_profile(profile)
    if args.plot:
        _check_learned(profile)
        of_one = "routing" not in profile.config
        check_that(of_one, "--plot", "left out for a choice among drafters", str(args.plot))
        from smart_speed.reporting.profile_plots import draw_profile

        draw_profile(profile, args.plot)
        say(f"Plots written to {args.plot}.")
    return 0


def show_profile(profile: Profile) -> None:
    """Say what a profile is for and what it knows."""
    _check_learned(profile)
    learned = profile.learned
    for role in ("verifier", "drafter"):
        made_for = getattr(profile, role)
        console.print(f"{role}: {made_for['name']} ({made_for['id']})", markup=False)
    machine = ", ".join(str(each) for each in learned["machine"].values())
    console.print(f"engine: {profile.engine}; machine: {machine}", markup=False)
    split = learned["split"]
    tasks = ", ".join(f"{task or 'any'} {count}" for task, count in split["num_by_task"].items())
    console.print(
        f"learned on {len(split['prompt_ids'])} prompts, {split['num_tokens']} tokens: {tasks}",
        markup=False,
    )
    if "routing" in profile.config:
        _show_routing(profile)
        return
    _show_costs(profile)
    _show_fit(profile)
    _show_phases(profile)
    show_predictions(profile)
    show_leniency(profile)


def _show_routing(profile: Profile) -> None:
    """Show who may draft, and how fast choosing among them is predicted to be."""
    routing = Routing.from_json(profile.config["routing"])
    if routing.always:
        console.print(f"always {routing.always}: no choice was found to be faster", markup=False)
    for arm in routing.arms if not routing.always else ():
        catch_up = arm.catch_up_s * routing.rate
        console.print(
            f"{arm.drafter}: gains {arm.bias:+.2f} tokens a round on the average, less "
            f"{catch_up:.3f} for each token that it missed",
            markup=False,
        )
    best = profile.learned["measured"]["best"]
    show_route_predictions(profile.learned["predicted"], best)


def show_route_predictions(rows: Mapping[str, Any], best: str) -> None:
    """Show how fast choices among drafters are by replay.

    Args:
        rows: Judgements by name, as JSON values.
        best: The single drafter to beat.
    """
    headings = ("policy", "over plain", "interval", f"over {best}", "interval", "of the gap")
    table = plain_table("Choosing among drafters, by replay; means of tasks", headings)
    for name in sorted(rows, key=lambda each: rows[each]["speed"]["value"], reverse=True):
        row = rows[name]
        table.add_row(
            name,
            number(row["speed"]["value"], ".3f"),
            interval(row["speed"], ".2f"),
            number(row["over_fixed"]["value"], ".3f"),
            interval(row["over_fixed"], ".3f"),
            number(row["share"]["value"], ".0%"),
        )
    console.print(table)
    console.print(
        f"of the gap: share of what lies between {best} alone and an oracle that knows before each "
        "round whose draft will be worth most",
        style="dim",
    )


def show_leniency(profile: Profile) -> None:
    """Show what lenient acceptance gains and loses, where that was measured."""
    measured = profile.learned.get("leniency")
    if not measured:
        return
    count = measured["num_prompts"]
    headings = ("lossy setting", "speed", "interval", "diverges", "interval", "agrees", "length")
    table = plain_table(
        f"Lenient acceptance beside exact, on {count} calibration prompts", headings
    )
    rows = measured["settings"]
    for name in sorted(rows, key=lambda each: -(rows[each]["speedup_over_exact"]["value"] or 0.0)):
        row = rows[name]
        table.add_row(
            name,
            number(row["speedup_over_exact"]["value"], ".3f"),
            interval(row["speedup_over_exact"], ".2f"),
            number(row["divergence"]["value"], "+.2%"),
            interval(row["divergence"], "+.1%"),
            number(row["agreement"]["value"], ".0%"),
            number(row["length_ratio"]["value"], ".2f"),
        )
    console.print(table)
    console.print(
        "diverges: log-likelihood per token lost by the verifier's judgement, of the exact text's; "
        "--max-divergence D takes the fastest setting whose interval ends below D %",
        style="dim",
    )


def show_predictions(profile: Profile) -> None:
    """Show how fast every policy is predicted to be on the texts that it was learned on."""
    title = "Predicted, on the calibration texts; means of tasks, 95 % intervals over prompts"
    headings = ("policy", "over plain", "interval", "of the oracle's gap", "draft", "accept")
    table = plain_table(title, headings)
    rows = profile.learned["predicted"]
    for name in sorted(rows, key=lambda each: rows[each]["speed"]["value"], reverse=True):
        row = rows[name]
        table.add_row(
            name,
            number(row["speed"]["value"], ".3f"),
            interval(row["speed"], ".2f"),
            number(row["share"]["value"], ".0%"),
            number(row["mean_draft_len"], ".2f"),
            number(row["acceptance_rate"], ".0%"),
        )
    console.print(table)
    console.print(
        "of the oracle's gap: share of what lies between the best fixed draft length and an oracle "
        "that knows what will be accepted",
        style="dim",
    )


def _show_costs(profile: Profile) -> None:
    measured = profile.learned["measured"]
    costs = measured["costs"]
    passes = {int(width): seconds for width, seconds in costs["verifier_pass_s"].items()}
    plain = passes[1]
    step = sum(costs[key] for key in ("drafter_step_s", "token_overhead_s", "strategy_step_s"))
    widths = [width for width in (2, 3, 5, 9, 17) if width in passes]
    curve = ", ".join(f"{width} tokens {passes[width] / plain:.2f}" for width in widths)
    spread = f" (known to ±{measured['spread']:.1%})" if "spread" in measured else ""
    console.print(
        f"a verifier pass of one token takes {plain * 1e3:.2f} ms{spread}; of {curve} times that; "
        f"a drafted token {step / plain:.3f}",
        markup=False,
    )
    slopes = CostModel.from_json(costs).verifier_context_s
    if any(slopes.values()):
        grown = ", ".join(f"{width} {slope * 1e6:.1f}" for width, slope in slopes.items())
        console.print(
            "a further thousand tokens of context add to a pass, in ms, by its width: " + grown,
            markup=False,
        )


def _show_fit(profile: Profile) -> None:
    fit = profile.learned["fit"]
    title = "Which drafted tokens are accepted? (predicted for texts left out of the fit)"
    table = plain_table(title, ("predicted", "accepted", "tokens"))
    for predicted, accepted, count in fit["reliability"]:
        table.add_row(f"{predicted:.2f}", f"{accepted:.2f}", str(count))
    console.print(table)
    sets = ", ".join(f"{name} {each['auc']:.3f}" for name, each in fit["by_features"].items())
    console.print(
        f"calibration error {fit['ece']:.3f}; area under the ROC curve by what is looked at: "
        f"{sets} (entropy: {fit['entropy_type']})",
        markup=False,
    )


def _show_phases(profile: Profile) -> None:
    """Say where predictable text ends, if the profile knows."""
    found = profile.learned.get("phases")
    if not found:
        return
    settings = found["settings"]
    console.print(
        f"predictable below {settings['theta_phase']:g} nats of the verifier's law, reasoning "
        f"above, ±{settings['phase_hysteresis']:.0%}: {found['predictable_share']:.0%} of tokens "
        f"are predictable, {found['mean_phase_len']:.1f} at a time; of drafted tokens "
        f"{found['accept_predictable']:.0%} and {found['accept_reasoning']:.0%} are accepted",
        markup=False,
    )


def _check_learned(profile: Profile) -> None:
    needed = ["machine", "measured", "split", "predicted"]
    needed += [] if "routing" in profile.config else ["fit"]
    missing = [key for key in needed if key not in profile.learned]
    if missing or profile.verifier is None or profile.drafter is None:
        raise ConfigError(
            "A profile must be one that `smart-speed calibrate` wrote to be shown, got one without "
            f"{', '.join(missing) or 'its models'}."
        )
