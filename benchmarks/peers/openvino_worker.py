"""OpenVINO GenAI's pipeline: plain, with a draft model, or with prompt lookup.

Settings: ``verifier`` and ``drafter`` (folders of converted models; the latter may be left out),
``threads``, ``ending`` (tokens that end a text), ``pipeline`` (arguments of its constructor) and
``generate`` (fields of every call's configuration).
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

from benchmarks.peers.serving import Answer, Arrivals, main, peak_of

_DEVICE = "CPU"
_ANY_LEN = 65_536
"""A prompt is read at once, as the pipeline's own setting for latency does."""


@final
class OpenVino:
    """A pipeline."""

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        self._genai = importlib.import_module("openvino_genai")
        self._openvino = importlib.import_module("openvino")
        self._arrivals: Arrivals | None = None
        threads = {"INFERENCE_NUM_THREADS": settings["threads"]}
        # What the pipeline does by itself, but for prompts read in earlier requests.
        scheduling = self._genai.SchedulerConfig()
        scheduling.enable_prefix_caching = False
        scheduling.max_num_batched_tokens = _ANY_LEN
        arguments = {"scheduler_config": scheduling, **settings.get("pipeline", {})}
        if settings.get("drafter"):
            draft_model = self._genai.draft_model(settings["drafter"], _DEVICE, **threads)
            arguments["draft_model"] = draft_model
        self._pipeline = self._genai.LLMPipeline(
            settings["verifier"], _DEVICE, **threads, **arguments
        )
        self._ending = set(settings["ending"])
        self._fields = dict(settings.get("generate", {}))
        return {
            name: importlib.import_module(name).__version__
            for name in ("openvino", "openvino_genai")
        }

    def answer(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> Answer:
        config = self._genai.GenerationConfig()
        config.max_new_tokens = max_new_tokens
        config.stop_token_ids = self._ending
        config.do_sample = temperature > 0
        if temperature:
            config.temperature, config.top_p, config.rng_seed = temperature, 1.0, seed
        for name, value in self._fields.items():
            setattr(config, name, value)
        numpy = importlib.import_module("numpy")
        text = numpy.array([prompt], dtype=numpy.int64)
        inputs = self._genai.TokenizedInputs(
            self._openvino.Tensor(text), self._openvino.Tensor(numpy.ones_like(text))
        )
        streamer = _streamer(self._genai)
        result = self._pipeline.generate(inputs, config, streamer)
        made: Answer = streamer.arrivals.answer(list(result.tokens[0]))
        # Tokens may be handed over one by one, so who knows better is asked for the passes.
        told = getattr(result, "extended_perf_metrics", None)
        if told is None:
            return made
        return replace(made, passes=max(made.decode_len - told.get_num_accepted_tokens(), 0))

    def peak_bytes(self) -> int | None:
        return peak_of()


def _streamer(genai: Any) -> Any:
    """Return what the pipeline hands tokens to; its class is known only once the module is."""

    class Streamer(genai.StreamerBase):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.arrivals = Arrivals()

        def write(self, tokens: int | Sequence[int]) -> Any:
            self.arrivals.add(1 if isinstance(tokens, int) else len(tokens))
            return genai.StreamingStatus.RUNNING

        def end(self) -> None:
            """Nothing is kept back."""

    return Streamer()


if __name__ == "__main__":
    main(OpenVino())
