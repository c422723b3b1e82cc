"""The stages of ``smart-speed distill``, with a word on how far each is."""

import argparse
from collections.abc import Collection
from dataclasses import replace
from typing import Any, final

from rich.progress import Progress as Bar

from smart_speed.cli.console import say
from smart_speed.cli.gauge import Gauge
from smart_speed.drafters.base import Drafter
from smart_speed.engines.base import LoadedModel
from smart_speed.loading import LoadOptions, choose_engine, is_installed, load_drafter, load_model
from smart_speed.training.corpus import CorpusFolder
from smart_speed.training.distilling import fast_bf16
from smart_speed.training.drafter_cost import DrafterCost, drafter_cost
from smart_speed.training.drafter_quality import judge_drafter
from smart_speed.training.drafter_scores import VerifiedAnswer
from smart_speed.training.generating import Progress, generate_corpus
from smart_speed.training.making import DrafterFolder
from smart_speed.training.prompts import TrainingPrompt, read_prompts
from smart_speed.training.settings import CorpusSettings, Recipe

_COST_CONTEXT_LEN = 256
"""Tokens of text at which a drafter's cost is measured."""


@final
class Distillation:
    """One drafter in the making."""

    def __init__(
        self, args: argparse.Namespace, corpus_settings: CorpusSettings, recipe: Recipe
    ) -> None:
        """Load the verifier and read the prompts."""
        self._args = args
        self._corpus_settings = corpus_settings
        self._prompts = read_prompts(args.prompts, _names(args.licences))
        self._unseen = read_prompts(args.evaluation_prompts)
        dtype = args.dtype
        if dtype == "auto":
            dtype = "bfloat16" if fast_bf16() else "float32"
        self._options = LoadOptions(
            engine="hf", device=args.device, dtype=dtype, threads=args.threads, say=say
        )
        self._verifier = load_model(args.verifier, self._options)
        say(f"Verifier {self._verifier.description}.")
        self._corpus = CorpusFolder(args.folder / "corpus")
        self._folder = args.folder / recipe.name
        self._drafter = DrafterFolder(self._folder, recipe, self._verifier, self._corpus)

    def run(self, stages: Collection[str], bar: Bar) -> dict[str, Any] | None:
        """Go through the stages.

        Returns:
            The manifest of the exported drafter, if it was exported or evaluated.
        """
        manifest = None
        if "corpus" in stages:
            self._answer(self._prompts, self._corpus, self._corpus_settings, bar)
        if "train" in stages:
            self._train(bar)
        if "export" in stages:
            manifest = self._drafter.export()
            say(f"Drafter written to {self._folder}.")
        if "evaluate" in stages:
            manifest = self._drafter.add_evaluation(self._evaluate(bar))
            say(f"Evaluation written to {self._folder / 'README.md'}.")
        return manifest

    def _answer(
        self,
        prompts: list[TrainingPrompt],
        corpus: CorpusFolder,
        settings: CorpusSettings,
        bar: Bar,
    ) -> None:
        with Gauge(bar, "answers") as gauge:

            def show(progress: Progress) -> None:
                rate = progress.tokens / progress.seconds if progress.tokens else 0.0
                gauge.show(progress.done, progress.total, f"{rate:.0f} tokens/s")

            generate_corpus(self._verifier, prompts, corpus, settings, progress=show)

    def _train(self, bar: Bar) -> None:
        with Gauge(bar, "training steps") as gauge:

            def show(log: dict[str, Any]) -> None:
                if "loss" in log:
                    gauge.show(log["step"], log["of"], f"loss {log['loss']:.3f}")

            self._drafter.train(report=show, max_steps=self._args.max_steps)

    def _evaluate(self, bar: Bar) -> dict[str, Any]:
        """Return how good the exported drafter is on prompts that it was not trained on."""
        corpus = CorpusFolder(self._args.folder / "evaluation")
        settings = replace(
            self._corpus_settings, sampled_share=0.0, raw_share=0.0, limit=None, top=1
        )
        self._answer(self._unseen, corpus, settings, bar)
        answers = [
            VerifiedAnswer(
                task=self._unseen[index].task or "all",
                prompt=example.prompt.tolist(),
                answer=example.answer.tolist(),
            )
            for number in corpus.numbers()
            for index, example in zip(*corpus.read(number), strict=True)
        ]
        drafter = load_drafter(str(self._folder), self._verifier, self._options)
        with Gauge(bar, "answers judged") as gauge:
            quality = judge_drafter(self._verifier, drafter, answers, progress=gauge.show)
        costs = {"hf": self._cost(self._verifier, drafter, answers)}
        if choose_engine(self._args.verifier)[0] == "llama_cpp" and is_installed("llama_cpp"):
            options = LoadOptions(engine="llama_cpp", threads=self._args.threads, say=say)
            verifier = load_model(self._args.verifier, options)
            drafter = load_drafter(str(self._folder / "drafter.gguf"), verifier, options)
            costs["llama_cpp"] = self._cost(verifier, drafter, answers)
        return quality.to_json() | {
            "cost": {engine: cost.to_json() for engine, cost in costs.items()}
        }

    def _cost(
        self, verifier: LoadedModel, drafter: Drafter, answers: list[VerifiedAnswer]
    ) -> DrafterCost:
        say(f"Measuring what a step costs on {verifier.engine} …")
        texts = [[*each.prompt, *each.answer][:_COST_CONTEXT_LEN] for each in answers]
        return drafter_cost(verifier, drafter, sorted(texts, key=len)[-8:], repeats=20)


def _names(text: str | None) -> frozenset[str]:
    return frozenset(name.strip() for name in text.split(",")) if text else frozenset()
