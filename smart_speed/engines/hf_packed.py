"""Linear layers whose weights lie in memory as the processor's kernels read them.

PyTorch arranges the weights of a linear layer for oneDNN anew in every pass, which takes longer
than multiplying a few tokens by them; arranged once, a pass takes half as long in bfloat16, and in
float32 a pass of five takes hardly longer than one of one (experiments/LOG.md).
"""

from typing import Any, final

import torch
from jaxtyping import Float
from torch import nn


@final
class PackedLinear(nn.Module):
    """What ``nn.Linear`` computes, from weights that are arranged once; for inference alone."""

    def __init__(self, linear: nn.Linear) -> None:
        """Arrange the weights of a layer, whose own may then be dropped.

        Raises:
            RuntimeError: If oneDNN has no kernel for their number format on this processor.
        """
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._weight: Any = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self.bias = linear.bias

    @property
    def weight(self) -> torch.Tensor:
        """A copy of the weights in their usual order, ``(out_features, in_features)``."""
        dense: torch.Tensor = self._weight.to_dense()
        return dense

    def forward(
        self, rows: Float[torch.Tensor, "*batch width"]
    ) -> Float[torch.Tensor, "*batch out"]:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self._weight, self.bias, "none", [], ""
        )
        return out

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight


def pack_linears(network: nn.Module) -> bool:
    """Replace the linear layers of a model on the processor, where that can be done.

    Args:
        network: Changed in place; layers of other kinds, such as quantised ones, stay.

    Returns:
        Whether it was done.
    """
    ops = torch.ops.mkldnn
    known = hasattr(ops, "_reorder_linear_weight") and hasattr(ops, "_linear_pointwise")
    if not (known and torch.backends.mkldnn.is_available()):  # type: ignore[no-untyped-call]
        return False
    done = False
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear and child.weight.device.type == "cpu":
                try:
                    setattr(module, name, PackedLinear(child))
                except RuntimeError:
                    return done
                done = True
    return done
