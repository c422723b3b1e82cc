"""An experiment: prompts answered under many conditions, side by side, into a folder.

Stages, each gone on with where it was stopped: choose prompts; learn on some of them; trace those
to be answered; write down what is to be done; answer.
"""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import final

from smart_speed.errors import ConfigError, check_that
from smart_speed.files import writing
from smart_speed.loaded_run import load_run
from smart_speed.profiles import Profile, read_profile
from smart_speed.run_folder import (
    ANSWERS_NAME,
    MANIFEST_NAME,
    Answer,
    AnswerLog,
    RunManifest,
    read_answers,
    read_manifest,
    write_manifest,
)
from smart_speed.running.about import machine_id
from smart_speed.running.beginning import Beginning, learned_on
from smart_speed.running.calibrating import Progress
from smart_speed.running.conditions import TEMPERATURES
from smart_speed.running.executing import Done, play_here
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.planning import Plan, condition_names, make_plan
from smart_speed.running.progress import LineProgress, say_on_stderr
from smart_speed.running.prompts import Selected, select_prompts
from smart_speed.running.screening import write_screening
from smart_speed.running.settings import FREE, ExperimentConfig, as_json
from smart_speed.running.traced import Models, load_models

__all__ = ["ExperimentConfig", "ExperimentRunner", "Outcome"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run stands."""

    folder: Path
    num_answers: int
    """That there are to be."""
    num_done: int
    num_failed: int

    @property
    def is_complete(self) -> bool:
        """Whether every answer was made."""
        return self.num_done == self.num_answers


@final
class ExperimentRunner:
    """Runs an experiment, or goes on with one that was stopped."""

    def __init__(
        self,
        config: ExperimentConfig,
        *,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """Take note of what is to be done; nothing is loaded yet.

        Args:
            config: What is to be done.
            progress: Called as work goes on; ``None`` writes a line to standard error now and then.
            say: Told what is worth a line; ``None`` writes it to standard error.
            clock: Returns seconds.
        """
        self.config = config
        self._say = say or say_on_stderr
        self._progress = progress or LineProgress(say=self._say)
        self._clock = clock
        self._drafter = config.drafter_model_path
        self._sampling = config.answer_sampling()

    def run_full_experiment(self) -> Outcome:
        """Run every stage that is not done.

        Raises:
            ConfigError: If the folder holds a run that was begun otherwise, or on another machine.
            ModelError: If a model cannot be loaded, or not be used as asked.
            MeasurementError: If the machine is too noisy to learn what drafting costs.
            OutputError: If the folder cannot be written.
        """
        config, folder = self.config, self.config.folder
        before = self._opened(folder)
        models = self._load()
        profile = self._given_profile(models)
        selected = self._select(models, profile)
        if before is None:
            beginning = Beginning(config, models, selected, self._progress, self._say, self._clock)
            manifest = beginning.manifest(profile)
            write_manifest(folder, manifest)
        else:
            self._check_same(before, models, selected)
            manifest = before
        outcome = self._answer(manifest, models, selected)
        write_screening(load_run(folder))
        for temperature in TEMPERATURES if "temperature" in config.ablations else ():
            self._at_temperature(temperature)
        return outcome

    def plan(self) -> Plan:
        """Return what the run would do and take; models are loaded, no file is written.

        Raises:
            ConfigError: As for ``run_full_experiment``, as are the others.
        """
        folder, config = self.config.folder, self.config
        before = read_manifest(folder) if (folder / MANIFEST_NAME).exists() else None
        models = self._load()
        selected = self._select(models, self._given_profile(models))
        conditions = condition_names(config)
        num_done = 0
        if before is not None:
            self._check_same(before, models, selected)
            conditions = dict.fromkeys(before.conditions, 1)
            num_done = sum(each.record.status == "ok" for each in read_answers(folder))
        return make_plan(
            config,
            models.verifier,
            selected,
            conditions,
            num_done=num_done,
            calibrated=before is not None or config.profile is not None,
            traced=before is not None,
        )

    def _opened(self, folder: Path) -> RunManifest | None:
        """Make the folder, find out whether it can be written, and what is there."""
        with writing("A run", folder):
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".{os.getpid()}.part"
            probe.write_bytes(b"")
            probe.unlink()
        return read_manifest(folder) if (folder / MANIFEST_NAME).exists() else None

    def _load(self) -> Models:
        options = self.config.load_options(say=self._say)
        return load_models(self.config.verifier_model_path, [self._drafter], options)

    def _given_profile(self, models: Models) -> Profile | None:
        if self.config.profile is None:
            return None
        profile = read_profile(Path(self.config.profile).expanduser())
        ids = models.ids
        profile.check_models(
            engine=models.verifier.engine,
            verifier=ids["verifier"]["id"],
            drafter=ids["drafters"][self._drafter]["id"],
        )
        profile.check_sampling(self._sampling)
        return profile

    def _select(self, models: Models, profile: Profile | None) -> Selected:
        return select_prompts(
            self.config, models.verifier, learned_on=learned_on(profile), say=self._say
        )

    def _check_same(self, before: RunManifest, models: Models, selected: Selected) -> None:
        """Refuse to go on with a run that was begun otherwise."""
        folder = str(self.config.folder)
        now = self.config.to_json()
        was = {**before.config, "verifier": before.verifier["id"], "drafter": before.drafter["id"]}
        now |= {"verifier": models.ids["verifier"]["id"], "engine used": models.verifier.engine}
        now |= {"drafter": models.ids["drafters"][self._drafter]["id"]}
        was |= {"engine used": before.engine, "prompts": before.about.get("prompts_sha256")}
        now |= {"prompts": selected.sha256}
        for key, value in now.items():
            if key not in FREE and was.get(key) != as_json(value):
                raise ConfigError(
                    f"{key} must stay {was.get(key)!r} to go on with the run in {folder!r}, got "
                    f"{value!r}; choose another output_dir for it."
                )

    def _answer(self, manifest: RunManifest, models: Models, selected: Selected) -> Outcome:
        """Make the answers that are missing."""
        work = Work(
            manifest.conditions, self._sampling, self.config.max_new_tokens, manifest.repeats
        )
        log = AnswerLog(self.config.folder)
        failed: set[object] = set()
        total = sum(map(work.num_answers, selected.test))
        try:
            self._check_machine()
            for made in self._batches(work, models, selected, log.done):
                for answer in made:
                    log.add(answer)
                    if answer.record.status == "error":
                        failed.add(answer.key)
                note = f"{len(failed)} failed" if failed else ""
                self._progress("answers", len(log.done), total, note)
        finally:
            log.close()
        return Outcome(
            folder=self.config.folder,
            num_answers=total,
            num_done=len(log.done),
            num_failed=len(failed),
        )

    def _batches(
        self, work: Work, models: Models, selected: Selected, done: Done
    ) -> Iterator[list[Answer]]:
        start, budget_s = self._clock(), self.config.time_budget_s

        def is_over() -> bool:
            return budget_s is not None and self._clock() - start >= budget_s

        if self.config.executor == "ray":
            from smart_speed.running.on_ray import play_on_ray

            engine = models.verifier.engine
            return play_on_ray(
                self.config, work, selected.test, done, is_over, engine=engine, say=self._say
            )
        player = PromptPlayer(models.verifier, models.drafters[self._drafter], work)
        return play_here(player, work, selected.test, done, is_over)

    def _check_machine(self) -> None:
        """Refuse to time answers here that would be compared with those of another machine."""
        if self.config.executor == "ray" or not (self.config.folder / ANSWERS_NAME).exists():
            return
        machines = {
            each.machine for each in read_answers(self.config.folder) if each.record.status == "ok"
        }
        here = machine_id()
        rule = f"the one that timed the answers so far ({', '.join(sorted(machines - {here}))})"
        check_that(machines <= {here}, "machine", rule, here)

    def _at_temperature(self, temperature: float) -> None:
        """Run the same at another temperature, in a folder inside."""
        ablations = [each for each in self.config.ablations if each != "temperature"]
        config = replace(
            self.config,
            temperature=temperature,
            ablations=tuple(ablations),
            experiment_name=f"{self.config.experiment_name}, temperature {temperature:g}",
            output_dir=str(self.config.folder / f"temperature-{temperature:g}"),
        )
        self._say(f"Temperature {temperature:g}:")
        ExperimentRunner(
            config, progress=self._progress, say=self._say, clock=self._clock
        ).run_full_experiment()


if __name__ == "experiment":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.experiment")
