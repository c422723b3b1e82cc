"""Prompts answered by workers of Ray, each with models of its own; they may die.

A prompt is answered whole, under all conditions, by one worker: what is compared was timed side by
side. The driver alone writes.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

from smart_speed.errors import EngineMissingError, ModelError
from smart_speed.run_folder import Answer, AnswerKey
from smart_speed.running.about import machine_id
from smart_speed.running.executing import Done, IsOver
from smart_speed.running.live import PromptPlayer, Work, failed_answer
from smart_speed.running.prompts import LivePrompt
from smart_speed.running.settings import ExperimentConfig
from smart_speed.running.traced import load_models

MOST_DEATHS = 3
"""Workers that may die of one prompt before it counts as failed, or of as many prompts before any
was answered."""


@final
class PromptWorker:
    """Loads the models once, and answers prompt after prompt."""

    def __init__(self, config: ExperimentConfig, work: Work) -> None:
        models = load_models(
            config.verifier_model_path, [config.drafter_model_path], config.load_options()
        )
        drafter = models.drafters[config.drafter_model_path]
        self._player = PromptPlayer(models.verifier, drafter, work)

    def play(self, prompt: LivePrompt, done: Mapping[AnswerKey, Sequence[int]]) -> list[Answer]:
        """Answer a prompt, as far as it is not answered."""
        return [answer for made in self._player.play(prompt, done) for answer in made]


def play_on_ray(
    config: ExperimentConfig,
    work: Work,
    prompts: Sequence[LivePrompt],
    done: Done,
    is_over: IsOver,
    *,
    engine: str,
    say: Callable[[str], None],
) -> Iterator[list[Answer]]:
    """Answer what is not answered on Ray's workers, and hand over each prompt's answers once made.

    Args:
        config: Says how models are loaded, and how many workers there are to be.
        work: What is done to every prompt.
        prompts: All of the run.
        done: What there is; it may grow meanwhile.
        is_over: Asked before each prompt but the first.
        engine: Of the verifier.
        say: Told of workers that died.

    Raises:
        EngineMissingError: If Ray is not installed.
        ModelError: If workers die of one prompt after another, and none was answered.
    """
    ray = _ray()
    own = not ray.is_initialized()
    if own:
        ray.init(include_dashboard=False, log_to_driver=False)
    try:
        pool = _Pool(ray, config, work, engine, say)
        waiting = deque(each for each in prompts if not work.is_done(each, done))
        yield from pool.answers(waiting, done, is_over)
    finally:
        if own:
            ray.shutdown()


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise EngineMissingError(
            "executor 'ray' needs the module ray, which is not installed: "
            "run `pip install 'smart-speed[ray]'`."
        ) from error
    return ray


@final
class _Pool:
    """Workers, what they are at, and how often which prompt was the death of one."""

    def __init__(
        self,
        ray: Any,
        config: ExperimentConfig,
        work: Work,
        engine: str,
        say: Callable[[str], None],
    ) -> None:
        self._ray, self._config, self._work = ray, config, work
        self._engine, self._say = engine, say
        nodes = sum(bool(node["Alive"]) for node in ray.nodes())
        self._most = config.num_workers or nodes
        if self._most > nodes:
            say(f"{self._most} workers share {nodes} nodes, so they slow one another down.")
        self._kind = ray.remote(PromptWorker).options(
            num_cpus=config.threads or 1, scheduling_strategy="SPREAD"
        )
        self._busy: dict[Any, tuple[Any, LivePrompt]] = {}
        self._deaths: Counter[str] = Counter()
        self._works = False

    def answers(
        self, waiting: deque[LivePrompt], done: Done, is_over: IsOver
    ) -> Iterator[list[Answer]]:
        """Hand out prompts until there are no more, or the time is used."""
        num_workers = min(self._most, len(waiting))
        idle = [self._kind.remote(self._config, self._work) for _ in range(num_workers)]
        begun = False
        while True:
            while idle and waiting and not (begun and is_over()):
                self._begin(idle.pop(), waiting.popleft(), done)
                begun = True
            if not self._busy:
                return
            ready, _ = self._ray.wait(list(self._busy), num_returns=1)
            worker, prompt = self._busy.pop(ready[0])
            try:
                made = self._ray.get(ready[0])
            except self._ray.exceptions.RayActorError as error:
                idle.append(self._kind.remote(self._config, self._work))
                made = self._bury(prompt, waiting, done, error)
            else:
                self._works = True
                idle.append(worker)
            if made:
                yield made

    def _begin(self, worker: Any, prompt: LivePrompt, done: Done) -> None:
        own = {key: done[key] for key in self._work.keys(prompt) if key in done}
        self._busy[worker.play.remote(prompt, own)] = (worker, prompt)

    def _bury(
        self, prompt: LivePrompt, waiting: deque[LivePrompt], done: Done, error: Exception
    ) -> list[Answer]:
        """Have another worker try the prompt; after too many deaths, return it as failed."""
        self._deaths[prompt.prompt_id] += 1
        if not self._works and len(self._deaths) >= MOST_DEATHS:
            raise ModelError(
                "Workers of Ray must be able to load the models and to answer, but they died of "
                f"{MOST_DEATHS} prompts, and none was answered: {str(error).splitlines()[-1]}"
            )
        self._say(f"A worker died while it answered {prompt.prompt_id}.")
        if self._deaths[prompt.prompt_id] < MOST_DEATHS:
            waiting.append(prompt)
            return []
        said = f"Workers died of it {MOST_DEATHS} times: {str(error).splitlines()[0]}"
        return [
            failed_answer(self._work, prompt, key, said, engine=self._engine, machine=machine_id())
            for key in self._work.keys(prompt)
            if key not in done
        ]
