"""The exception tree.

SmartSpeedError
├── ConfigError             a setting breaks a rule (also a ValueError)
├── ModelError              a model cannot be loaded or used as asked
│   ├── EngineMissingError  an optional engine is not installed
│   ├── RollbackError       a model's cache cannot forget tokens
│   └── VocabularyError     drafter and verifier disagree on a token
├── NonFiniteError          a model's logits hold NaN, or nothing but -inf
├── ContextLengthError      a prompt does not fit the model's context
├── MeasurementError        a machine is too noisy for what is to be measured
└── OutputError             a result cannot be written where it was asked for

Every message is one sentence: who, the rule, the value that broke it, and what to do.
"""

import difflib
from collections.abc import Iterable


class SmartSpeedError(Exception):
    """Whatever smart_speed refuses, in one sentence."""


class ConfigError(SmartSpeedError, ValueError):
    """A setting breaks a rule."""


class ModelError(SmartSpeedError):
    """A model cannot be loaded, or not be used as asked."""


class EngineMissingError(ModelError):
    """An optional engine is not installed."""


class RollbackError(ModelError):
    """A model's cache cannot forget tokens, or not those asked for."""


class VocabularyError(ModelError):
    """Drafter and verifier disagree on what a token means."""


class NonFiniteError(SmartSpeedError):
    """A model's logits hold NaN or +inf, or nothing but -inf."""


class ContextLengthError(SmartSpeedError):
    """A prompt does not fit the model's context."""


class MeasurementError(SmartSpeedError):
    """A measurement's spread is too wide to conclude from."""


class OutputError(SmartSpeedError):
    """A result cannot be written where it was asked for."""


def check_that(holds: bool, name: str, rule: str, value: object) -> None:
    """Raise unless a setting keeps its rule.

    Args:
        holds: Whether it does.
        name: The setting, as its user spells it.
        rule: What it must be, for the sentence "``name`` must be ``rule``, got ``value``."
        value: What it is.

    Raises:
        ConfigError: If ``holds`` is false.
    """
    if not holds:
        raise ConfigError(f"{name} must be {rule}, got {value!r}.")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not in a table: nearest name and full list."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    inside = [known_name for known_name in names if known_name in name]
    hint = f" Did you mean {(near or inside)[0]!r}?" if near or inside else ""
    return ConfigError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(names)}.")
