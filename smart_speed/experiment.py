"""An experiment: prompts answered under many conditions, side by side, into a folder.

Stages, each gone on with where it was stopped: choose prompts; learn on some of them; write down
what is to be done; answer the others, and trace each.
"""

import importlib
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import final

from smart_speed.errors import ConfigError
from smart_speed.files import check_folder
from smart_speed.loaded_run import load_run
from smart_speed.profiles import LearnedOn, Profile, read_profile
from smart_speed.run_folder import (
    MANIFEST_NAME,
    Answer,
    AnswerKey,
    AnswerLog,
    RunManifest,
    read_answers,
    read_manifest,
    write_manifest,
)
from smart_speed.running.beginning import Beginning
from smart_speed.running.calibrating import Progress
from smart_speed.running.conditions import TEMPERATURES
from smart_speed.running.executing import Done, play_here
from smart_speed.running.live import PromptPlayer, Work
from smart_speed.running.partings import judge_partings
from smart_speed.running.planning import Plan, condition_names, make_plan
from smart_speed.running.progress import LineProgress, in_words, say_on_stderr
from smart_speed.running.prompts import Selected, select_prompts
from smart_speed.running.screening import write_screening
from smart_speed.running.settings import FREE, ExperimentConfig, as_json
from smart_speed.running.side_runs import check_machine
from smart_speed.running.traced import Models, Tracing, load_models

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
        # Made now, so that what breaks a rule is refused before hours of work.
        temperatures = TEMPERATURES if "temperature" in config.ablations else ()
        self._inner = [_at_temperature(config, each) for each in temperatures]

    def run_full_experiment(self) -> Outcome:
        """Run every stage that is not done.

        Raises:
            ConfigError: If the folder holds a run that was begun otherwise, or on another machine.
            ModelError: If a model cannot be loaded, or not be used as asked.
            MeasurementError: If the time was too short to learn what drafting costs.
            OutputError: If the folder cannot be written.
        """
        config, folder = self.config, self.config.folder
        check_folder("A run", folder)
        before = _manifest_in(folder)
        models = self._load()
        profile = self._given_profile(models)
        selected = self._select(models, profile)
        if (plan := self._plan(before, models, selected)).num_done < plan.num_answers:
            for sentence in plan.sentences():
                self._say(sentence)
        beginning = Beginning(config, models, selected, self._progress, self._say, self._clock)
        manifest = before
        if manifest is None:
            manifest = beginning.manifest(profile)
            write_manifest(folder, manifest)
        outcome = self._answer(manifest, models, selected, beginning.tracing())
        run = load_run(folder)
        judge_partings(
            run, selected.test, models.verifier, progress=self._counted("places where texts part")
        )
        write_screening(run, progress=self._counted("conditions predicted"))
        for inner in self._inner:
            self._say(f"Temperature {inner.temperature:g}:")
            ExperimentRunner(
                inner, progress=self._progress, say=self._say, clock=self._clock
            ).run_full_experiment()
        return outcome

    def _counted(self, what: str) -> Callable[[int, int], None]:
        """Return what shows how many of something are done."""
        return lambda done, total: self._progress(what, done, total, "")

    def plan(self) -> Plan:
        """Return what the run would do and take; models are loaded, no file is written.

        Raises:
            ConfigError: As for ``run_full_experiment``, as are the others.
        """
        before = _manifest_in(self.config.folder)
        models = self._load()
        return self._plan(before, models, self._select(models, self._given_profile(models)))

    def _plan(self, before: RunManifest | None, models: Models, selected: Selected) -> Plan:
        config = self.config
        conditions, done = condition_names(config), list[Answer]()
        if before is not None:
            self._check_same(before, models, selected)
            conditions = dict.fromkeys(before.conditions, 1)
            done = [each for each in read_answers(config.folder) if each.record.status == "ok"]
        return make_plan(
            config,
            models.verifier,
            selected,
            conditions,
            num_done=len(done),
            num_traced=len({each.prompt_id for each in done}),
            calibrated=before is not None or config.profile is not None,
        )

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
        learned_on = profile.learned_on if profile else LearnedOn()
        return select_prompts(self.config, models.verifier, learned_on=learned_on, say=self._say)

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

    def _answer(
        self, manifest: RunManifest, models: Models, selected: Selected, tracing: Tracing
    ) -> Outcome:
        """Make the answers that are missing, and the traces of their prompts."""
        work = Work(
            manifest.conditions, self._sampling, self.config.max_new_tokens, manifest.repeats
        )
        log = AnswerLog(self.config.folder)
        failed: set[AnswerKey] = set()
        total = sum(map(work.num_answers, selected.test))
        try:
            if self.config.executor != "ray":
                check_machine(log.machines)
            for made in self._batches(work, models, selected, tracing, log.done):
                for answer in made:
                    log.add(answer)
                    if answer.record.status == "error":
                        failed.add(answer.key)
                self._progress("answers", len(log.done), total, self._note(len(failed)))
            if self.config.executor == "ray":
                self._trace_answered(work, selected, tracing, {*log.done, *failed})
            if len(log.done) + len(failed) == total:
                tracing.finish()
        finally:
            log.close()
        return Outcome(
            folder=self.config.folder,
            num_answers=total,
            num_done=len(log.done),
            num_failed=len(failed),
        )

    def _note(self, num_failed: int) -> str:
        budget_s = self.config.budget_s
        said = [f"{num_failed} failed"] if num_failed else []
        said += [] if budget_s is None else [f"stopping after {in_words(budget_s)}"]
        return ", ".join(said)

    def _batches(
        self, work: Work, models: Models, selected: Selected, tracing: Tracing, done: Done
    ) -> Iterator[list[Answer]]:
        start, budget_s = self._clock(), self.config.budget_s

        def is_over() -> bool:
            return budget_s is not None and self._clock() - start >= budget_s

        if self.config.executor == "ray":
            from smart_speed.running.on_ray import play_on_ray

            engine = models.verifier.engine
            return play_on_ray(
                self.config, work, selected.test, done, is_over, engine=engine, say=self._say
            )
        player = PromptPlayer(models.verifier, models.drafters[self._drafter], work)
        return play_here(
            player,
            work,
            selected.test,
            done,
            is_over,
            before=lambda prompt: tracing.record([prompt.prompt_id]),
        )

    def _trace_answered(
        self, work: Work, selected: Selected, tracing: Tracing, tried: Collection[AnswerKey]
    ) -> None:
        """Trace what workers have answered; while they are at it, it would take time from them."""
        missing = set(tracing.missing())
        answered = [each.prompt_id for each in selected.test if work.is_done(each, tried)]
        wanted = [each for each in answered if each in missing]
        if wanted:
            self._say(f"The workers are done; {len(wanted)} prompts are traced here for replay.")
            tracing.record(wanted, progress=self._counted("prompts traced"))


def _manifest_in(folder: Path) -> RunManifest | None:
    return read_manifest(folder) if (folder / MANIFEST_NAME).exists() else None


def _at_temperature(config: ExperimentConfig, temperature: float) -> ExperimentConfig:
    """Return the same at another temperature, in a folder inside."""
    return replace(
        config,
        temperature=temperature,
        ablations=tuple(each for each in config.ablations if each != "temperature"),
        experiment_name=f"{config.experiment_name}, temperature {temperature:g}",
        output_dir=str(config.folder / f"temperature-{temperature:g}"),
    )


if __name__ == "experiment":
    # Imported by its bare name, with this folder on the path: be the package's own module.
    sys.modules[__name__] = importlib.import_module("smart_speed.experiment")
