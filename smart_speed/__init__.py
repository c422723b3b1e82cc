"""Entropy-aware speculative decoding of language models.

Importing this package imports neither torch nor any engine; public names load when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smart_speed.config import EntropyConfig
    from smart_speed.sampling import Sampling
    from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder

__version__ = "0.1.0"
__all__ = ["EntropyBasedSpeculativeDecoder", "EntropyConfig", "Sampling", "__version__"]

_HOMES = {
    "EntropyBasedSpeculativeDecoder": "smart_speed.speculative_decoding",
    "EntropyConfig": "smart_speed.config",
    "Sampling": "smart_speed.sampling",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'smart_speed' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
