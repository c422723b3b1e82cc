"""What an experiment is to do: every setting, checked before anything is loaded."""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, final, get_args, get_origin, get_type_hints

from smart_speed.config import EntropyConfig
from smart_speed.errors import ConfigError, check_that, unknown_name
from smart_speed.loading import LoadOptions
from smart_speed.running.conditions import check_conditions, recipes
from smart_speed.sampling import Sampling

_SAMPLING = ("repetition_penalty", "top_k", "top_p", "min_p", "ignore_eos")
"""What the table ``sampling`` may hold; temperature and seed are settings of their own."""
_LEAST_PROMPT_LEN = 8
_EMBEDDED_BUDGET_S = 900.0


@final
@dataclass(frozen=True, kw_only=True)
class ExperimentConfig:
    """Settings of an experiment; with none given, the embedded pair on the built-in prompts."""

    drafter_model_path: str = "default"
    """A folder, GGUF file or hub id; "default", "ngram", "layers:N" or the name of a drafter that
    comes with the package; any of these with "+ngram" behind it (docs/drafters.md)."""
    verifier_model_path: str = "default"
    """A folder, GGUF file or hub id, or "default" for the embedded model."""
    dataset_name: str | Sequence[str] = "builtin"
    """Where prompts come from (docs/workloads.md); several names give several tasks."""
    dataset_split: str = "test"
    """Of data sets that have splits."""
    num_samples: int = 60
    """Prompts to be answered, the tasks taking turns; fewer if there are no more."""
    max_sequence_length: int = 512
    """Tokens of prompt and answers together. A longer text keeps its end; a chat that would be
    longer is left out, and another prompt takes its place."""
    max_new_tokens: int = 128
    """The most tokens of an answer."""
    experiment_name: str = "experiment"
    output_dir: str | None = None
    """Folder of the run; ``None`` means "results/" and the name."""
    baseline_k_values: Sequence[int] = (4, 6, 8, 10)
    """Draft lengths of the fixed conditions."""
    conditions: str | Sequence[str] | Mapping[str, Mapping[str, Any]] = "standard"
    """"standard", "quick", names, or a table of names and settings of ``EntropyConfig``; an empty
    table stands for what the name means (docs/experiments.md)."""
    ablations: Sequence[str] = ()
    """Groups of further conditions, each of which varies one thing."""
    confirm_live: int = 0
    """How many of each strategy's best settings are taken from a full grid, screened by replay
    on the calibration prompts, and run; 0 screens nothing."""
    calibration_dataset_name: str | Sequence[str] | None = None
    """Where prompts to learn on come from; ``None`` takes others of the same data."""
    num_calibration_samples: int = 32
    """Prompts to learn on; 0 learns nothing."""
    trace_draft_len: int = 16
    """Longest draft that is traced, and the longest that is learned."""
    cost_resolution: float = 0.03
    """How well this machine's costs must be known: half the width of 95 % intervals, as a share.
    On a noisier machine they are used as they are, and the record says how well that is."""
    cost_seconds: float = 180.0
    """The most seconds for measuring that, each time."""
    profile: str | None = None
    """A file that ``smart-speed calibrate`` wrote: nothing is learned anew."""
    temperature: float = 0.0
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of ``Sampling``: top_p, top_k, min_p, repetition_penalty, ignore_eos."""
    seed: int = 0
    """Of the choice and order of prompts and conditions, and of sampled answers."""
    repeats: int = 1
    """How often each answer is made; the one of median time counts."""
    chat_template: Literal["auto", "never"] = "auto"
    """Whether instructions are put into the verifier's chat template, where it has one."""
    engine: Literal["auto", "hf", "llama_cpp", "openvino", "toy"] = "auto"
    device: str | None = None
    dtype: str | None = None
    quantize: Literal["auto", "none", "bf16", "q8_0", "q4_0"] = "auto"
    threads: int | None = None
    """As for ``LoadOptions``, as are the four before."""
    executor: Literal["local", "ray"] = "local"
    """Who answers: this process, or workers of Ray, each with models of its own."""
    num_workers: int | None = None
    """Of Ray; ``None`` means one for each node."""
    time_budget_s: float | None = None
    """Stop at the next prompt once answering has taken so long; a later call goes on. ``None``
    means 15 minutes with the embedded verifier, which is there to be tried, and else no limit; 0
    means no limit."""

    def __post_init__(self) -> None:
        for name in _SEQUENCES:
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
        least = {"num_samples": 1, "max_new_tokens": 1, "repeats": 1, "trace_draft_len": 1}
        least |= {"num_calibration_samples": 0, "confirm_live": 0, "seed": 0, "num_workers": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            check_that(value is None or value >= bound, name, f"at least {bound}", value)
        room = self.max_sequence_length - self.max_new_tokens
        rule = f"at least {_LEAST_PROMPT_LEN} above max_new_tokens ({self.max_new_tokens})"
        fits = room >= _LEAST_PROMPT_LEN
        check_that(fits, "max_sequence_length", rule, self.max_sequence_length)
        caps = self.baseline_k_values
        check_that(all(cap >= 1 for cap in caps), "baseline_k_values", "at least 1 each", caps)
        inside = 0 < self.cost_resolution < 1
        check_that(inside, "cost_resolution", "between 0 and 1", self.cost_resolution)
        inside = 0 < self.cost_seconds < math.inf
        check_that(inside, "cost_seconds", "a positive number of seconds", self.cost_seconds)
        budget_s = self.time_budget_s
        inside = budget_s is None or 0 <= budget_s < math.inf
        rule = "a positive number of seconds, or 0 for no limit"
        check_that(inside, "time_budget_s", rule, budget_s)
        self._check_choices()
        check_that(bool(self.datasets), "dataset_name", "at least one name", self.dataset_name)
        check_that(bool(self.experiment_name), "experiment_name", "a word", self.experiment_name)
        self.load_options()
        greedy = self.answer_sampling().greedy
        check_conditions(self)
        varied = self.profile is not None and "temperature" in self.ablations
        rule = "left out with a profile, which is for one temperature"
        check_that(not varied, "the ablation 'temperature'", rule, self.profile)
        for recipe in recipes(self).values():
            if not recipe.needs_profile:
                EntropyConfig.from_dict(recipe.settings).build_rule(greedy=greedy)

    def _check_choices(self) -> None:
        hints = get_type_hints(type(self))
        for name in ("chat_template", "executor"):
            known = get_args(hints[name])
            if getattr(self, name) not in known:
                raise unknown_name(name, str(getattr(self, name)), known)
        alone = self.executor == "ray" or self.num_workers is None
        check_that(alone, "num_workers", 'left out unless executor is "ray"', self.num_workers)

    @property
    def folder(self) -> Path:
        """Where the run goes."""
        return Path(self.output_dir or f"results/{self.experiment_name}").expanduser()

    @property
    def datasets(self) -> tuple[str, ...]:
        """Where prompts come from."""
        return _names(self.dataset_name)

    @property
    def calibration_datasets(self) -> tuple[str, ...]:
        """Where prompts to learn on come from; empty if from the same data."""
        return _names(self.calibration_dataset_name or ())

    @property
    def budget_s(self) -> float | None:
        """Seconds of answering after which to stop; ``None`` if there is no limit."""
        if self.time_budget_s is None:
            return _EMBEDDED_BUDGET_S if self.verifier_model_path == "default" else None
        return self.time_budget_s or None

    @property
    def learns(self) -> bool:
        """Whether anything is learned, or was."""
        return self.profile is not None or self.num_calibration_samples > 0

    def load_options(self, **more: Any) -> LoadOptions:
        """Return how models are loaded."""
        names = ("engine", "device", "dtype", "quantize", "threads")
        return LoadOptions(**{name: getattr(self, name) for name in names}, **more)

    def answer_sampling(self) -> Sampling:
        """Return the law of the answers."""
        hints = get_type_hints(Sampling)
        for name, value in self.sampling.items():
            if name not in _SAMPLING:
                raise unknown_name("setting of sampling", name, _SAMPLING)
            _check_kind(f"sampling.{name}", value, hints[name])
        return Sampling(temperature=self.temperature, seed=self.seed, **self.sampling)

    def to_json(self) -> dict[str, Any]:
        """Return every setting as JSON values, defaults included."""
        values: dict[str, Any] = as_json(asdict(self))
        return values

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "ExperimentConfig":
        """Build from parsed TOML or JSON.

        Raises:
            ConfigError: If a key is unknown, with the nearest name and the full list, or a value
                is of another type or breaks a rule.
        """
        hints = get_type_hints(cls)
        values = dict(settings)
        for key, value in settings.items():
            if key not in hints:
                raise unknown_name("setting of an experiment", key, hints)
            _check_kind(key, value, hints[key])
            if float in _options(hints[key]) and value is not None:
                values[key] = float(value)
        return cls(**values)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the settings of a TOML file, unchecked.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        said = str(error).rstrip(".")
        raise ConfigError(
            f"An experiment must be a readable TOML file, got {str(path)!r}: {said}."
        ) from error


def with_changes(settings: Mapping[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return settings with some of them set, as on a command line.

    Args:
        settings: Stay as they are.
        changes: Each as "key=value", or "table.key=value"; several values have commas between.

    Raises:
        ConfigError: If there is no such setting, or the value is of another type.
    """
    hints = get_type_hints(ExperimentConfig)
    found = {key: dict(val) if isinstance(val, Mapping) else val for key, val in settings.items()}
    for change in changes:
        path, equals, text = change.partition("=")
        check_that(bool(equals), "--set", "of the form key=value", change)
        key, *inner = path.strip().split(".")
        if key not in hints:
            raise unknown_name("setting of an experiment", key, hints)
        if not inner:
            found[key] = _parsed(key, text.strip(), hints[key])
            continue
        table = found[key] = _table_of(key, found)
        for name in inner[:-1]:
            inside = table.get(name, {})
            rule = "a table, for a setting inside of it to be set"
            check_that(isinstance(inside, Mapping), name, rule, inside)
            table[name] = dict(inside)
            table = table[name]
        table[inner[-1]] = _toml_value(text.strip())
    return found


def _table_of(key: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return a setting as a table, to be changed; conditions that are names become empty ones."""
    value = settings.get(key, ExperimentConfig.conditions if key == "conditions" else {})
    if key == "conditions" and not isinstance(value, Mapping):
        return {name: {} for name in _names(value)}
    check_that(
        isinstance(value, Mapping), key, "a table, for a setting inside of it to be set", value
    )
    return dict(value)


def as_json(value: Any) -> Any:
    """Return a value as it is once it was written and read."""
    return json.loads(json.dumps(value))


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _options(hint: Any) -> tuple[Any, ...]:
    """Return the parts of a union; of any other type, it alone."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _kind(hint: Any) -> type:
    """Return the plain type that a value of a setting's type is of."""
    origin = get_origin(hint)
    if origin is Literal:
        return str
    if origin is not None:
        return Mapping if issubclass(origin, Mapping) else Sequence
    return type(None) if hint is None else hint


def _check_kind(key: str, value: Any, hint: Any) -> None:
    kinds = {_kind(option): option for option in _options(hint)}
    if get_origin(hint) is Literal and isinstance(value, str) and value not in get_args(hint):
        raise unknown_name(key, value, get_args(hint))
    if isinstance(value, int) and not isinstance(value, bool) and float in kinds:
        return
    for kind, option in kinds.items():
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            continue
        if kind is Mapping and _kind(get_args(option)[1]) is Mapping:
            _check_tables(key, value)
        if kind is not Sequence or _is_list_of(value, get_args(option)[0]):
            return
    rule = " or ".join(_WORDS[kind] for kind in kinds if kind is not type(None))
    check_that(False, key, rule, value)


def _check_tables(key: str, value: Any) -> None:
    for name, inner in value.items():
        check_that(isinstance(inner, Mapping), f"{key}.{name}", "a table", inner)


def _is_list_of(value: Any, kind: type) -> bool:
    return not isinstance(value, str) and all(type(each) is kind for each in value)


def _parsed(key: str, text: str, hint: Any) -> Any:
    """Return what a text means for a setting.

    Raises:
        ConfigError: If it is none of the setting's type.
    """
    kinds = {_kind(option): option for option in _options(hint)}
    if type(None) in kinds and text.lower() == "none":
        return None
    if Sequence in kinds and (str not in kinds or "," in text):
        inner = get_args(kinds[Sequence])[0]
        return tuple(_parsed(key, part.strip(), inner) for part in text.split(",") if part.strip())
    if str in kinds:
        return text
    value = _toml_value(text)
    _check_kind(key, value, hint)
    return value


def _toml_value(text: str) -> Any:
    """Return what a text is in TOML; itself, where it is nothing there."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


_SEQUENCES = (
    "dataset_name",
    "baseline_k_values",
    "conditions",
    "ablations",
    "calibration_dataset_name",
)
_WORDS: Mapping[type, str] = {
    str: "a word",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    Sequence: "a list",
    Mapping: "a table",
}
FREE = ("output_dir", "executor", "num_workers", "time_budget_s")
"""Settings that may change when a run is gone on with."""
