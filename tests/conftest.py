"""Common ground: no network, one thread, known randomness, a clock that counts, toys to decode."""

import os
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

from smart_speed.engines.base import LoadedModel
from smart_speed.engines.toy import LetterTokenizer, TableModel
from smart_speed.entropy import LawFacts
from smart_speed.records import RoundRecord
from smart_speed.stopping.base import DraftView, StoppingStrategy

# pytest-xdist says how wide a terminal is, where tests expect none.
os.environ.pop("COLUMNS", None)

settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, max_examples=50
)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise RuntimeError(f"A test must not use the network, got {address!r}.")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket.socket, "connect_ex", refuse)
        yield


@pytest.fixture(autouse=True)
def one_thread() -> None:
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(20260101)


@dataclass
class FakeClock:
    """One second passes whenever somebody looks."""

    now: float = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session", params=["numpy", "torch"])
def to_array(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Turn a NumPy array into one of the library under test."""
    return np.asarray if request.param == "numpy" else pytest.importorskip("torch").asarray


@pytest.fixture(scope="session")
def view() -> Callable[..., DraftView]:
    """Build what a strategy sees from the entropies of a round, or from top probabilities."""

    def build(*entropies_nats: float, top_prob: float = 0.5) -> DraftView:
        return DraftView(tuple(LawFacts(entropy, top_prob) for entropy in entropies_nats))

    return build


@pytest.fixture(scope="session")
def outcome() -> Callable[..., RoundRecord]:
    """Build the record of a round from what a strategy reads of it."""

    def build(
        *, drafted: int, accepted: int, entropies_nats: tuple[float, ...] | None = None
    ) -> RoundRecord:
        entropies = (0.5,) * drafted if entropies_nats is None else entropies_nats
        return RoundRecord(
            context_len=10,
            entropies_nats=entropies,
            top_probs=(0.5,) * len(entropies),
            draft_len=drafted,
            accepted_len=accepted,
            emitted_len=accepted + 1,
            stop_reason="max_draft_len",
            drafter_s=0.0,
            entropy_s=0.0,
            strategy_s=0.0,
            verifier_s=0.0,
            round_s=0.0,
        )

    return build


@pytest.fixture(scope="session")
def passed_len() -> Callable[..., int]:
    """Count the positions before the first at which a strategy stops."""

    def count(strategy: StoppingStrategy[Any], facts: list[LawFacts]) -> int:
        state = strategy.initial_state()
        stops = (
            position
            for position in range(len(facts))
            if strategy.reason_to_stop(DraftView(tuple(facts[: position + 1])), state)
        )
        return next(stops, len(facts))

    return count


def _loaded(model: TableModel, alphabet: str) -> LoadedModel:
    return LoadedModel(
        model=model,
        tokenizer=LetterTokenizer(alphabet),
        engine="toy",
        path="test",
        description="made for a test",
    )


@pytest.fixture(scope="session")
def random_pair() -> Callable[..., tuple[LoadedModel, LoadedModel]]:
    """Build a random verifier of order 2, and a drafter of order 1 that often agrees with it."""

    def build(seed: int = 0, *, context_len: int = 4096) -> tuple[LoadedModel, LoadedModel]:
        table = 2 * np.random.default_rng(seed).normal(size=(6, 6, 6))
        table[..., 5] -= 9  # a long text: its end is unlikely
        models = (TableModel(rows, context_len=context_len) for rows in (table, table.mean(axis=0)))
        verifier, drafter = (_loaded(model, "abcde") for model in models)
        return verifier, drafter

    return build


@pytest.fixture(scope="session")
def scripted() -> Callable[..., LoadedModel]:
    """Build a model whose greedy text is known: each letter names the next, "." is the end.

    Letters listed as unsure are followed by nearly uniform laws, the others by nearly certain ones.
    """

    def build(
        follows: Mapping[str, str], *, unsure: str = "", context_len: int = 4096
    ) -> LoadedModel:
        letters = sorted(set(follows) - {"."})
        index = {letter: at for at, letter in enumerate([*letters, "."])}
        table = np.zeros((len(index), len(index)))
        for letter, following in follows.items():
            table[index[letter], index[following]] = 0.01 if letter in unsure else 40.0
        return _loaded(TableModel(table, context_len=context_len), "".join(letters))

    return build
