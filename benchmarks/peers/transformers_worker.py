"""transformers' own ``generate``: plain, assisted by a drafter, or by prompt lookup.

Settings: ``verifier`` and ``drafter`` (folders; the latter may be left out), ``dtype``,
``threads``, ``ending`` (tokens that end a text), ``assistant`` (what is set in the drafter's
generation config) and ``generate`` (arguments of every call).
"""

from collections.abc import Mapping, Sequence
from typing import Any, final

from benchmarks.peers.serving import Answer, Arrivals, main, peak_of


@final
class Transformers:
    """A model of transformers, and perhaps another that assists it."""

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        import torch
        import transformers

        torch.set_num_threads(settings["threads"])
        self._torch = torch
        self._model = self._loaded(settings["verifier"], settings)
        self._arguments = dict(settings.get("generate", {}))
        if settings.get("drafter"):
            assistant = self._loaded(settings["drafter"], settings)
            # Read from there, and not from the arguments of a call.
            for name, value in settings["assistant"].items():
                setattr(assistant.generation_config, name, value)
            self._arguments["assistant_model"] = assistant
        return {"transformers": transformers.__version__, "torch": torch.__version__}

    def _loaded(self, folder: str, settings: Mapping[str, Any]) -> Any:
        from transformers import AutoModelForCausalLM

        number_format = getattr(self._torch, settings["dtype"])
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=number_format).eval()
        model.generation_config.eos_token_id = settings["ending"]
        model.generation_config.pad_token_id = settings["ending"][0]
        return model

    def answer(
        self, prompt: Sequence[int], *, max_new_tokens: int, temperature: float, seed: int
    ) -> Answer:
        drawn = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        self._torch.manual_seed(seed)
        text = self._torch.tensor([prompt])
        streamer = Streamer()
        with self._torch.inference_mode():
            whole = self._model.generate(
                input_ids=text,
                attention_mask=self._torch.ones_like(text),
                max_new_tokens=max_new_tokens,
                streamer=streamer,
                **(drawn if temperature else {"do_sample": False}),
                **self._arguments,
            )
        return streamer.arrivals.answer(whole[0, len(prompt) :].tolist())

    def peak_bytes(self) -> int | None:
        return peak_of()


@final
class Streamer:
    """What ``generate`` hands tokens to: first the prompt, then those of each pass."""

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self._begun = False

    def put(self, tokens: Any) -> None:
        if self._begun:
            self.arrivals.add(tokens.numel())
        self._begun = True

    def end(self) -> None:
        """Nothing is kept back."""


if __name__ == "__main__":
    main(Transformers())
