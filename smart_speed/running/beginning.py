"""What a run does before its first answer: learn, and write down what is to be done."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, final

from smart_speed.drafters.routed import RoutedDrafter
from smart_speed.errors import SmartSpeedError, check_that
from smart_speed.machine import machine_facts
from smart_speed.profiles import Profile, read_profile, shared_settings
from smart_speed.run_folder import (
    CALIBRATION_NAME,
    TRACES_NAME,
    ConditionInfo,
    PromptInfo,
    RunManifest,
)
from smart_speed.running.about import facts_of_a_run
from smart_speed.running.calibrating import (
    PROFILE_NAME,
    ROUTE_PROFILE_NAME,
    Progress,
    costs_path,
    learn,
    measure_drafter,
    read_measured,
    traces_folder,
)
from smart_speed.running.conditions import made_conditions, screened
from smart_speed.running.prompts import LivePrompt, Selected
from smart_speed.running.screening import Learning, learning_of, screen
from smart_speed.running.settings import ExperimentConfig, as_json
from smart_speed.running.traced import Models, TracedPrompt, TraceSettings, Tracing, parts_of


@final
@dataclass(frozen=True)
class Beginning:
    """A run that has answered nothing yet; each stage goes on with where it was stopped."""

    config: ExperimentConfig
    models: Models
    selected: Selected
    progress: Progress
    say: Callable[[str], None]
    clock: Callable[[], float]

    def manifest(self, profile: Profile | None) -> RunManifest:
        """Learn, and return what is to be done.

        Args:
            profile: That was given; else one is made, if there are prompts to learn on.

        Raises:
            ConfigError: If the folder holds traces that were made otherwise.
            MeasurementError: If the time was too short to learn what drafting costs.
            OutputError: If the folder cannot be written.
        """
        calibration = self.config.folder / CALIBRATION_NAME
        learning, given = None, profile
        if given is None and self.selected.calibration:
            profile = self._calibrated(calibration)
            learning = learning_of(calibration, self._name, profile)
        relearn = learning.relearn if learning else None
        conditions = made_conditions(self.config, profile, relearn)
        screening = self._screened(learning, conditions) if self.config.confirm_live else None
        about = facts_of_a_run() | {
            "prompts_sha256": self.selected.sha256,
            "num_left_out": self.selected.num_left_out,
            "screening": screening,
        }
        manifest = self._manifest(profile, conditions, about)
        if given is not None:
            given.write(calibration / PROFILE_NAME)
        return manifest

    def tracing(self) -> Tracing:
        """Return what traces the prompts that are answered.

        Raises:
            ConfigError: If the folder holds traces that were made otherwise.
            OutputError: If the folder cannot be written.
        """
        return self._tracing(self.config.folder / TRACES_NAME, self.selected.test)

    @property
    def _name(self) -> str:
        return self.config.drafter_model_path

    @property
    def _parts(self) -> Models:
        """The drafters that are traced and measured: those that one chooses among, or itself."""
        return parts_of(self.models, self._name)

    def _calibrated(self, folder: Path) -> Profile:
        """Trace, measure and learn, or what of it is left to be done."""
        tracing = self._tracing(traces_folder(folder), self.selected.calibration)
        tracing.record(
            progress=lambda done, total: self.progress("prompts to learn on", done, total, "")
        )
        tracing.finish()
        for costs in (costs_path(folder, name) for name in self._parts.drafters):
            if costs.exists():
                was, here = read_measured(costs)[1], machine_facts()
                rule = f"the one whose costs were measured ({was})"
                check_that(was == here, "machine", rule, here)
        chooses = isinstance(self.models.drafters[self._name], RoutedDrafter)
        made = folder / (ROUTE_PROFILE_NAME if chooses else PROFILE_NAME)
        if made.exists():
            return read_profile(made)
        self._measure(folder)
        learn(folder, say=self.say, progress=self.progress)
        return read_profile(made)

    def _measure(self, folder: Path) -> None:
        for name, drafter in self._parts.drafters.items():
            measure_drafter(
                folder,
                name,
                (self.models.verifier, drafter),
                [each.asked([]) for each in self.selected.calibration],
                max_draft_len=self.config.trace_draft_len,
                resolution=self.config.cost_resolution,
                most_s=self.config.cost_seconds,
                progress=self.progress,
                settle=self.say,
            )

    def _tracing(self, folder: Path, prompts: tuple[LivePrompt, ...]) -> Tracing:
        """Return what traces the first turn of each prompt."""

        def failed(prompt_id: str, error: SmartSpeedError) -> None:
            self.say(f"{prompt_id} cannot be traced: {error}")

        config = self.config
        settings = TraceSettings(
            config.trace_draft_len, config.max_new_tokens, config.answer_sampling()
        )
        traced = [
            TracedPrompt(each.prompt_id, each.task, each.asked([]), each.turns) for each in prompts
        ]
        return Tracing(folder, self._parts, traced, settings, failed=failed)

    def _screened(
        self, learning: Learning | None, conditions: dict[str, ConditionInfo]
    ) -> dict[str, Any]:
        """Add the best few settings of each strategy to the conditions, by full grids."""
        rule = "0 with a profile, which brings no traces to screen on"
        check_that(learning is not None, "confirm_live", rule, self.config.confirm_live)
        assert learning is not None
        start = self.clock()
        found = screen(
            *learning,
            progress=lambda done, total, note: self.progress("settings", done, total, note),
        )
        known = as_json([each.config for each in conditions.values()])
        for strategy, tried in found.items():
            shared = shared_settings(strategy, learning.config)
            settings = [{**each.settings, **shared} for each in tried]
            fresh = [each for each in settings if as_json(each) not in known]
            for number, each in enumerate(fresh[: self.config.confirm_live], 1):
                name, info = screened(strategy, number, each)
                conditions[name] = info
        return {
            "num_tried": sum(map(len, found.values())),
            "seconds": self.clock() - start,
            "best": {
                strategy: [each._asdict() for each in tried[: self.config.confirm_live]]
                for strategy, tried in found.items()
            },
        }

    def _manifest(
        self, profile: Profile | None, conditions: dict[str, ConditionInfo], about: dict[str, Any]
    ) -> RunManifest:
        models, verifier = self.models, self.models.verifier
        drafter = models.drafters[self._name]
        learned_on = profile.learned_on.prompt_ids if profile else ()
        return RunManifest(
            name=self.config.experiment_name,
            config=self.config.to_json(),
            conditions=conditions,
            prompts=tuple(
                PromptInfo(
                    prompt_id=each.prompt_id,
                    task=each.task,
                    num_turns=len(each.turns),
                    check=each.check,
                )
                for each in self.selected.test
            ),
            calibration_prompt_ids=tuple(
                learned_on or (each.prompt_id for each in self.selected.calibration)
            ),
            repeats=self.config.repeats,
            verifier={**models.ids["verifier"], "description": verifier.description},
            drafter={**models.ids["drafters"][self._name], "description": drafter.name},
            engine=verifier.engine,
            sampling=as_json(asdict(self.config.answer_sampling())),
            about=about,
        )
