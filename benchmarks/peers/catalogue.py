"""Who is compared, each driven as its documentation recommends.

Constants that are not an engine's defaults are from its documentation; docs/peers.md says where.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from benchmarks.peers.checkpoints import (
    DRAFTER_FOLDER,
    DRAFTER_GGUF,
    DRAFTER_OPENVINO,
    VERIFIER_FOLDER,
    VERIFIER_GGUF,
    VERIFIER_OPENVINO,
)
from benchmarks.peers.environments import HERE
from benchmarks.peers.llama_server_build import LLAMA_SERVER
from benchmarks.peers.openvino_models import RUNS_OPENVINO
from smart_speed.errors import check_that
from smart_speed.loading import BLENDED, shipped_drafters
from smart_speed.profiles import Profile

_WORKERS = "benchmarks.peers"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSpec:
    """One engine with one setting."""

    name: str
    baseline: str
    """Plain decoding of the same engine: what its texts and its speed are compared with."""
    engine: str
    """What runs the models."""
    ours: bool = False
    """Whether it is smart_speed."""
    worker: str
    """Module that is run."""
    settings: Mapping[str, Any]
    """What it is told; names of models stand for their paths."""
    environment: str = HERE
    requirements: Sequence[str] = ()
    """What is in the environment."""
    samples: bool = True
    """Whether it claims that texts drawn at a temperature keep the verifier's law."""

    def to_json(self) -> dict[str, Any]:
        """Return what its answers depend on."""
        return {"worker": self.worker, "environment": list(self.requirements), **self.settings}


def specs_of(
    *,
    dtype: str,
    threads: int,
    ending: Sequence[int],
    profiles: Mapping[Path, Profile] | None = None,
) -> list[PeerSpec]:
    """Return all of them.

    Args:
        dtype: Number format on PyTorch.
        threads: Of each engine.
        ending: Tokens that end a text.
        profiles: By file, what ``smart-speed calibrate`` learned of a drafter that ships, of the
            very pair that the peers get, or of that pair blended with n-grams.
    """
    hf = {"engine": "hf", "dtype": dtype, "threads": threads}
    llama_cpp = {"engine": "llama_cpp", "threads": threads}
    openvino = {"engine": "openvino", "threads": threads}
    found = profiles or {}
    return [
        *_smart_speed("hf", hf, DRAFTER_FOLDER, found),
        *_transformers({"dtype": dtype, "threads": threads, "ending": list(ending)}),
        *_smart_speed("llama_cpp", llama_cpp, DRAFTER_GGUF, found),
        *_llama_server({"server": LLAMA_SERVER, "verifier": VERIFIER_GGUF, "threads": threads}),
        *_smart_speed("openvino", openvino, DRAFTER_FOLDER, found),
        *_openvino({"threads": threads, "ending": list(ending)}),
    ]


def _smart_speed(
    engine: str, load: Mapping[str, Any], drafter: str, profiles: Mapping[Path, Profile]
) -> list[PeerSpec]:
    """Plain decoding, what ``from_pretrained()`` gives, and what it does on the peers' pair."""
    variants: dict[str, dict[str, Any]] = {
        "plain": {"drafter": None, "config": {"strategy": "plain"}},
        "default": {"drafter": "default", "config": None},
        "same pair": {"drafter": drafter, "config": {"strategy": "absolute"}},
    }
    for path, profile in profiles.items():
        if profile.engine == engine:
            named = (profile.drafter or {}).get("name", "")
            check_that(named != "", "profiles", "made by smart-speed calibrate", str(path))
            given, title = named, named
            if named != "ngram" and named.removesuffix(BLENDED) not in shipped_drafters():
                blended = BLENDED if named.endswith(BLENDED) else ""
                given, title = f"{drafter}{blended}", f"same pair{blended}"
            temperature = (profile.sampling or {}).get("temperature", 0)
            at = f" at {temperature:g}" if temperature else ""
            learned = {"drafter": given, "config": None, "profile": str(path)}
            variants[f"{title}, calibrated{at}"] = learned
    if engine == "openvino":  # another drafter that a profile ships for, and as fast
        variants["n-grams"] = {"drafter": "ngram", "config": None}
    title, shared = f"smart_speed {engine}", {"load": dict(load)}
    return _peers(title, engine, "smart_speed_worker", shared, variants, ours=True)


def _transformers(settings: Mapping[str, Any]) -> list[PeerSpec]:
    """Schedules of ``num_assistant_tokens``; "dynamic" is what nothing set gives since 4.50."""
    assistants = {
        "constant": {
            "num_assistant_tokens": 5,
            "num_assistant_tokens_schedule": "constant",
            "assistant_confidence_threshold": 0.0,
        },
        "heuristic": {
            "num_assistant_tokens": 5,
            "num_assistant_tokens_schedule": "heuristic",
            "assistant_confidence_threshold": 0.0,
        },
        "dynamic": {
            "num_assistant_tokens": 20,
            "num_assistant_tokens_schedule": "constant",
            "assistant_confidence_threshold": 0.4,
        },
    }
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        **{
            name: {"drafter": DRAFTER_FOLDER, "assistant": each}
            for name, each in assistants.items()
        },
        "prompt lookup": {"generate": {"prompt_lookup_num_tokens": 10}},
    }
    shared = {"verifier": VERIFIER_FOLDER, **settings}
    return _peers("transformers", "hf", "transformers_worker", shared, variants)


def _llama_server(settings: Mapping[str, Any]) -> list[PeerSpec]:
    """What its options default to, what its example sets, a cap on trust, and its n-grams.

    The quickest of either kind also with the attention that smart_speed takes on a processor.
    """
    drafts, ngrams = ["--spec-type", "draft-simple"], ["--spec-type", "ngram-simple"]
    longer = ["--spec-draft-n-max", "16", "--spec-draft-p-min", "0.75"]
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "default": {"drafter": DRAFTER_GGUF, "arguments": drafts},
        "recommended": {
            "drafter": DRAFTER_GGUF,
            "arguments": [*drafts, "--spec-draft-n-max", "7"],
        },
        "confident": {"drafter": DRAFTER_GGUF, "arguments": [*drafts, *longer]},
        "n-grams": {"arguments": ngrams},
    }
    for name in ("plain", "confident", "n-grams"):
        arguments = [*variants[name].get("arguments", []), "--flash-attn", "off"]
        variants[f"{name}, flash off"] = variants[name] | {"arguments": arguments}
    return _peers("llama.cpp", "llama_cpp", "llama_server_worker", settings, variants)


def _openvino(settings: Mapping[str, Any]) -> list[PeerSpec]:
    """What its samples of speculative decoding and of prompt lookup set."""
    lookup = {"num_assistant_tokens": 5, "max_ngram_size": 3}
    variants: dict[str, dict[str, Any]] = {
        "plain": {},
        "constant": {"drafter": DRAFTER_OPENVINO, "generate": {"num_assistant_tokens": 5}},
        "dynamic": {
            "drafter": DRAFTER_OPENVINO,
            "generate": {"assistant_confidence_threshold": 0.4},
        },
        "prompt lookup": {"pipeline": {"prompt_lookup": True}, "generate": lookup},
    }
    return _peers(
        "OpenVINO GenAI",
        "openvino",
        "openvino_worker",
        {"verifier": VERIFIER_OPENVINO, **settings},
        variants,
        environment="openvino",
        requirements=RUNS_OPENVINO,
    )


def _peers(
    title: str,
    engine: str,
    worker: str,
    shared: Mapping[str, Any],
    variants: Mapping[str, Mapping[str, Any]],
    **fields: Any,
) -> list[PeerSpec]:
    """Return one engine with several settings, of which "plain" is the baseline."""
    return [
        PeerSpec(
            name=f"{title}, {name}",
            baseline=f"{title}, plain",
            engine=engine,
            worker=f"{_WORKERS}.{worker}",
            settings={**shared, **each},
            **fields,
        )
        for name, each in variants.items()
    ]


def chosen(specs: Sequence[PeerSpec], words: Sequence[str] | None) -> list[PeerSpec]:
    """Return those whose names hold one of some words, and the plain decoding of each.

    Raises:
        ConfigError: If no name holds a word.
    """
    if words is None:
        return list(specs)
    for word in words:
        held = any(word in spec.name for spec in specs)
        check_that(held, "peers", f"words of {', '.join(spec.name for spec in specs)}", word)
    named = {spec.name: spec for spec in specs if any(word in spec.name for word in words)}
    baselines = {spec.baseline for spec in named.values()}
    return [spec for spec in specs if spec.name in named or spec.name in baselines]
