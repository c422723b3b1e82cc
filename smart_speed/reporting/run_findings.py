"""Everything that a report of a run is made from, worked out once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.errors import SmartSpeedError
from smart_speed.evaluation import evaluate_run
from smart_speed.hypotheses.judging import judge_hypotheses
from smart_speed.hypotheses.verdict import Verdict
from smart_speed.loaded_run import LoadedRun, load_run
from smart_speed.reporting.run_gap import Gap, find_gap

MOST_SERIES = 8
"""Conditions in a plot of lines; more cannot be told apart."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Figures, verdicts and bounds of one run."""

    run: LoadedRun
    figures: Mapping[str, Any]
    """The document of ``evaluate_run``."""
    verdicts: Sequence[Verdict]
    unjudged: str
    """Why there are no verdicts; empty if there are."""
    gap: Gap | None
    no_gap: str
    """Why the gap is not known; empty if it is."""

    @property
    def answered(self) -> list[str]:
        """Conditions that have answers to compare, in the run's order."""
        conditions = self.figures["conditions"]
        return [name for name in conditions if conditions[name]["overall"]["num_sequences"]]

    @property
    def main(self) -> list[str]:
        """Those of them that are no ablations."""
        return [name for name in self.answered if self.role(name) != "ablation"]

    @property
    def drafting(self) -> list[str]:
        """Those of these that draft."""
        return [name for name in self.main if self.role(name) != "plain"]

    @property
    def lossy(self) -> list[str]:
        """Those of all that have answers whose text need not be the verifier's."""
        conditions = self.figures["conditions"]
        return [name for name in self.answered if not conditions[name]["lossless"]]

    def title(self, name: str) -> str:
        """Return a condition's name as it is shown: lossy ones say so."""
        return f"{name} (lossy)" if name in self.lossy else name

    @property
    def tasks(self) -> list[str]:
        """Tasks with a prompt that every condition has answered."""
        tasks: list[str] = self.figures["tasks"]
        return tasks

    def role(self, name: str) -> str:
        """Return what a condition is there for."""
        role: str = self.figures["conditions"][name]["role"]
        return role

    def is_calibrated(self, name: str) -> bool:
        """Return whether a condition is of the strategy that calibration makes."""
        return self.role(name) == "calibrated"

    def overall(self, name: str) -> Mapping[str, Any]:
        """Return a condition's figures over all prompts."""
        overall: Mapping[str, Any] = self.figures["conditions"][name]["overall"]
        return overall

    def baseline(self, kind: str) -> str | None:
        """Return the condition that is compared with: "plain" or "fixed_best"."""
        name: str | None = self.figures["run"]["baselines"][kind]
        return name if name in self.answered else None

    def chosen(self, most: int = MOST_SERIES) -> list[str]:
        """Return conditions for plots of few.

        The fastest of each role (of those that are calibrated the first), then those that look at
        entropy, then the rest.
        """
        by_speed = sorted(self.drafting, key=self.speed, reverse=True)
        firsts = {self.role(name): name for name in reversed(by_speed)}
        for name in filter(self.is_calibrated, reversed(self.drafting)):
            firsts["calibrated"] = name
        entropic = [name for name in by_speed if self.role(name) == "entropy"]
        ordered = dict.fromkeys([*firsts.values(), *entropic, *by_speed])
        few = set(list(ordered)[:most])
        return [name for name in self.drafting if name in few]

    def speed(self, name: str) -> float:
        """Return a condition's speed over plain decoding, the mean of tasks; 0 if not known."""
        return self.overall(name)["speedup_over_plain"]["value"] or 0.0

    def verdicts_json(self) -> list[dict[str, Any]]:
        """Return the verdicts as JSON values."""
        return [each.to_json() for each in self.verdicts]


def find(folder: Path, *, machine: str | None = None) -> Findings:
    """Work out everything that is known of a run.

    Args:
        folder: Of the run.
        machine: Whose answers are looked at, where several have made some.

    Raises:
        ConfigError: If the folder holds no run, or answers timed on several machines.
    """
    run = load_run(folder)
    figures = evaluate_run(folder, machine=machine)
    verdicts: Sequence[Verdict] = ()
    unjudged = ""
    try:
        verdicts = judge_hypotheses(run, machine)
    except SmartSpeedError as error:
        unjudged = f"The hypotheses could not be judged: {error}"
    gap = find_gap(run, machine)
    return Findings(
        run=run,
        figures=figures,
        verdicts=verdicts,
        unjudged=unjudged,
        gap=gap if isinstance(gap, Gap) else None,
        no_gap=gap if isinstance(gap, str) else "",
    )
