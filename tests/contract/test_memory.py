"""No engine and no part of the loop keeps anything of answers that were handed over."""

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import pytest

from smart_speed.config import EntropyConfig
from smart_speed.drafters.base import Drafter
from smart_speed.drafters.blend import BlendDrafter
from smart_speed.drafters.model import ModelDrafter
from smart_speed.engines import llama_cpp as llama
from smart_speed.engines.base import LoadedModel
from smart_speed.loading import LoadOptions, load_model
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder
from tests.calibrations import CALIBRATION
from tests.contract import tiny_gguf, tiny_hf

ANSWERS = 20
"""Before the first look, and again before the second."""
MOST_OBJECTS = ANSWERS // 2
"""That may hold others, as records do, and were kept of those; caches do not grow by any."""
MOST_BLOCKS = 40 * ANSWERS
"""Of memory; caches still fill up by some ten for every answer. A kept one has over a hundred."""

Models = tuple[LoadedModel, LoadedModel]


@pytest.fixture(scope="module")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_gguf.write(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


def pair_of(engine: str, tiny_file: Path, toys: Models) -> Models:
    if engine == "toy":
        return toys
    if engine == "hf":
        network = tiny_hf.build("Llama")
        drafter = tiny_hf.shaken(tiny_hf.build("Llama"), seed=1, strength=0.3)
        return tiny_hf.loaded(network), tiny_hf.loaded(drafter)
    options = LoadOptions(engine=engine, threads=1, context_len=64)  # type: ignore[arg-type]
    verifier, drafter = (load_model(str(tiny_file), options) for _ in range(2))
    return verifier, drafter


class Answers:
    """Answers of changing prompts, each drawn under another seed."""

    def __init__(self, models: Models) -> None:
        verifier, drafter = models
        config = EntropyConfig(strategy="calibrated", calibration=CALIBRATION, online=True)
        drafting: Drafter = BlendDrafter(ModelDrafter.for_verifier(drafter, verifier))
        self.decoder = EntropyBasedSpeculativeDecoder(verifier, drafting, config)

    def answer(self, number: int) -> Any:
        prompt = np.random.default_rng(number).integers(3, 5, size=3 + number % 9).tolist()
        sampling = Sampling(temperature=float(number % 2), seed=number, ignore_eos=True)
        return self.decoder.generate(prompt, max_new_tokens=12, sampling=sampling)


@pytest.fixture(autouse=True)
def own_objects() -> Iterator[None]:
    """Leave what was there before to itself, so that collecting garbage takes no time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def kept_by(answer: Callable[[int], object]) -> tuple[int, int]:
    """Return how many more objects and blocks Python holds after twice as many answers.

    Answer 0 is the last each time, since caches hold a text, and that is then the same.
    """
    looks = []
    for numbers in (range(1, ANSWERS), range(ANSWERS, 2 * ANSWERS)):
        for number in (*numbers, 0):
            answer(number)
        gc.collect()
        looks.append((len(gc.get_objects()), sys.getallocatedblocks()))
    (objects, blocks), (more_objects, more_blocks) = looks
    return more_objects - objects, more_blocks - blocks


@pytest.mark.parametrize("engine", ["toy", "hf", "llama_cpp", "openvino"])
def test_answers_leave_nothing_behind(
    engine: str, tiny_file: Path, random_pair: Callable[[], Models]
) -> None:
    objects, blocks = kept_by(Answers(pair_of(engine, tiny_file, random_pair())).answer)
    assert objects < MOST_OBJECTS
    assert blocks < MOST_BLOCKS


def test_an_answer_that_is_kept_would_be_noticed(random_pair: Callable[[], Models]) -> None:
    answers, kept = Answers(random_pair()), list[Any]()
    objects, blocks = kept_by(lambda number: kept.append(answers.answer(number)))
    assert objects > MOST_OBJECTS
    assert blocks > MOST_BLOCKS


def test_generations_cut_short_leave_nothing_behind(random_pair: Callable[[], Models]) -> None:
    decoder = Answers(random_pair()).decoder

    def begin(number: int) -> None:
        next(iter(decoder.stream([number % 5, 1, 2], max_new_tokens=12)))

    objects, blocks = kept_by(begin)
    assert objects < MOST_OBJECTS
    assert blocks < MOST_BLOCKS


def test_weights_of_a_file_are_freed_after_its_contexts(
    tiny_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not before its tokenizer is gone, which reads the vocabulary in them."""
    freed: list[str] = []

    def told(name: str) -> None:
        free = getattr(llama_cpp, name)

        def tell(pointer: Any) -> None:
            freed.append(name)
            free(pointer)

        monkeypatch.setattr(llama_cpp, name, tell)

    told("llama_free")
    told("llama_model_free")
    loaded = llama.load(str(tiny_file), threads=1)
    model, tokenizer = weakref.ref(loaded.model), loaded.tokenizer
    tokens = tokenizer.encode("the thin")
    del loaded
    gc.collect()
    assert model() is None
    assert freed == ["llama_free"]
    assert tokenizer.decode(tokens) == "the thin"
    del tokenizer
    gc.collect()
    assert freed == ["llama_free", "llama_model_free"]


def test_rows_outlive_the_name_of_their_model(tiny_file: Path) -> None:
    rows = llama.load(str(tiny_file), threads=1).model.feed([3, 4, 5], last=3)
    gc.collect()
    again = llama.load(str(tiny_file), threads=1).model.feed([3, 4, 5], last=3)
    np.testing.assert_array_equal(rows, again)
