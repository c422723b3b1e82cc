"""Training a drafter on a corpus, by the trainer of transformers.

What it learns is the verifier's law at every position of the verifier's own answers: the token
that the verifier holds likeliest (hard labels), its law among its likeliest tokens (soft targets
from the corpus, Hinton et al. 2015, arXiv 1503.02531), or its whole law, for which the verifier
reads along. All of a token's share that the drafter's vocabulary lacks goes to its last token.
"""

import errno
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from transformers import (
    LlamaForCausalLM,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint

from smart_speed.engines.hf_files import first_line, quiet
from smart_speed.errors import ModelError, OutputError, check_that
from smart_speed.training.packing import PackedRows
from smart_speed.training.settings import TrainingSettings

_NOT_WRITABLE = (errno.EACCES, errno.EROFS, errno.ENOSPC, errno.EDQUOT)


def distillation_loss(
    logits: Float[torch.Tensor, "positions vocab"],
    target_ids: Int[torch.Tensor, "positions top"],
    target_probs: Float[torch.Tensor, "positions top"],
    hard_share: float,
) -> Float[torch.Tensor, ""]:
    """Return the mean cross-entropy with the verifier's likeliest token and with its law.

    It is the Kullback-Leibler divergence from that law but for the law's own entropy, which no
    weight of the drafter changes.

    Args:
        logits: The drafter's.
        target_ids: Tokens in the drafter's numbering, the verifier's likeliest first; a token may
            stand there more than once.
        target_probs: Their shares of the law, which add up to 1.
        hard_share: Weight of the first; the law has the rest.
    """
    logprobs = logits.float().log_softmax(dim=-1).gather(1, target_ids)
    weights = (1 - hard_share) * target_probs
    weights[:, 0] += hard_share
    return -(weights * logprobs).sum() / max(len(logits), 1)  # a batch may hold no answer at all


@final
class DistillationTrainer(Trainer):  # type: ignore[misc]
    """The trainer of transformers with another loss."""

    def __init__(
        self, *, verifier: PreTrainedModel | None, kept_map: torch.Tensor, hard_share: float,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        """Take what ``Trainer`` takes, and where the targets come from.

        Args:
            verifier: Reads along for its whole law; ``None`` to take the corpus' targets.
            kept_map: The drafter's id of each token of the verifier.
            hard_share: See ``distillation_loss``.
            **kwargs: Of ``Trainer``.
        """
        super().__init__(**kwargs)
        self._verifier = verifier
        self._kept_map = kept_map
        self._hard_share = hard_share

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, torch.Tensor], *_: Any, **__: Any
    ) -> torch.Tensor:
        answered = inputs["answered"]
        logits = model(input_ids=inputs["input_ids"], answered=answered)
        ids, probs = self._targets(inputs, answered)
        return distillation_loss(logits, ids, probs, self._hard_share)

    def _targets(
        self, inputs: dict[str, torch.Tensor], answered: Bool[torch.Tensor, "rows row_len"]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self._verifier is None:
            probs = inputs["top_logprobs"][answered].softmax(dim=-1)
            return inputs["top_ids"][answered], probs
        with torch.inference_mode():
            own = self._verifier(input_ids=inputs["verifier_input_ids"]).logits[answered].float()
        order = own.argmax(dim=-1, keepdim=True)
        # The likeliest token first, with no share of its own, and then the whole law.
        likeliest = self._kept_map.to(own.device)[order]
        whole = self._kept_map.to(own.device).expand(len(own), -1)
        probs = torch.cat([torch.zeros_like(order, dtype=own.dtype), own.softmax(-1)], dim=-1)
        return torch.cat([likeliest, whole], dim=-1), probs


class _AnswersOnly(LlamaForCausalLM):  # type: ignore[misc]
    """A Llama whose output head, most of its cost, is applied where a loss is wanted."""

    def forward(
        self, input_ids: torch.Tensor, answered: torch.Tensor | None = None, **kwargs: Any
    ) -> Any:
        if answered is None:
            return super().forward(input_ids=input_ids, **kwargs)
        hidden = self.model(input_ids=input_ids, use_cache=False).last_hidden_state
        return self.lm_head(hidden[answered])


@final
class _Curve(TrainerCallback):  # type: ignore[misc]
    """Measures the drafter on rows kept from training before every checkpoint."""

    def __init__(self, rows: PackedRows) -> None:
        self._rows = rows

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any
    ) -> None:
        if state.global_step % args.save_steps == 0 or state.global_step == state.max_steps:
            agreement = heldout_agreement(model, self._rows)
            state.log_history.append({"step": state.global_step, "heldout_agreement": agreement})


def heldout_agreement(network: nn.Module, rows: PackedRows) -> float:
    """Return the share of positions where drafter and verifier hold the same token likeliest."""
    same, count = 0, 0
    network.eval()
    for row in map(rows.__getitem__, range(len(rows))):
        answered = row["answered"][None]
        device = next(network.parameters()).device
        with torch.inference_mode():
            logits = network(
                input_ids=row["input_ids"][None].to(device), answered=answered.to(device)
            )
        same += int((logits.argmax(dim=-1).cpu() == row["top_ids"][row["answered"], 0]).sum())
        count += len(logits)
    network.train()
    return same / max(count, 1)


@final
class _Reporter(TrainerCallback):  # type: ignore[misc]
    """Hands on what the trainer logs."""

    def __init__(self, report: Callable[[dict[str, Any]], None]) -> None:
        self._report = report

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            self._report({"step": state.global_step, "of": state.max_steps, **(logs or {})})


def distill(
    network: LlamaForCausalLM,
    rows: PackedRows,
    heldout: PackedRows,
    folder: Path,
    settings: TrainingSettings,
    *,
    kept_map: torch.Tensor,
    verifier: PreTrainedModel | None = None,
    report: Callable[[dict[str, Any]], None] = lambda _: None,
    max_steps: int | None = None,
) -> LlamaForCausalLM:
    """Train a drafter, or go on from its last checkpoint.

    Args:
        network: The drafter as it begins; see ``start_network``.
        rows: The corpus.
        heldout: Rows of other examples, on which agreement is measured at every checkpoint.
        folder: Where checkpoints go.
        settings: How to train.
        kept_map: The drafter's id of each token of the verifier.
        verifier: Needed for whole laws.
        report: Called with what the trainer logs.
        max_steps: End here, with a checkpoint, and the schedule that of the whole run.

    Returns:
        The trained drafter.

    Raises:
        ModelError: If a checkpoint cannot be read.
        OutputError: If none can be written.
    """
    whole = settings.soft_targets == "whole"
    check_that(not whole or verifier is not None, "verifier", "given for whole laws", None)
    model = _AnswersOnly(network.config)
    model.load_state_dict(network.state_dict())
    callbacks: list[TrainerCallback] = [_Curve(heldout), _Reporter(report)]
    if max_steps is not None:
        callbacks.append(_StopAt(max_steps))
    trainer = DistillationTrainer(
        verifier=verifier if whole else None,
        kept_map=kept_map,
        hard_share=settings.hard_share,
        model=model,
        train_dataset=rows,
        args=_arguments(folder, settings),
        callbacks=[
            _Curve(heldout),
            _Reporter(report),
            *([_StopAt(max_steps)] if max_steps else []),
        ],
    )
    last = get_last_checkpoint(str(folder)) if folder.is_dir() else None
    trainer.remove_callback(PrinterCallback)
    try:
        with quiet():
            trainer.train(resume_from_checkpoint=last)
    # Each file of a checkpoint has errors of its own: SafetensorError, UnpicklingError ...
    except Exception as error:
        if getattr(error, "errno", None) in _NOT_WRITABLE:
            raise OutputError(
                f"{str(folder)!r} must be a folder that can be written: {error}."
            ) from error
        if last is None:
            raise
        raise ModelError(
            f"The checkpoint {last!r} must be whole and of this drafter, got: {first_line(error)}; "
            "delete it to go on from the one before."
        ) from error
    network.load_state_dict(model.state_dict())
    return network


@final
class _StopAt(TrainerCallback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= self._step:
            control.should_save = control.should_training_stop = True


def _arguments(folder: Path, settings: TrainingSettings) -> TrainingArguments:
    precision = settings.precision
    if precision == "auto":
        precision = "bf16" if fast_bf16() else "float32"
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_share,
        lr_scheduler_type="cosine",
        weight_decay=settings.weight_decay,
        per_device_train_batch_size=settings.batch_rows,
        bf16=precision == "bf16",
        use_cpu=not torch.accelerator.is_available(),
        save_steps=settings.save_steps,
        save_total_limit=2,
        # So that no loss is averaged over steps before and after a checkpoint.
        logging_steps=math.gcd(10, settings.save_steps),
        seed=settings.seed,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        max_grad_norm=1.0,
    )


def fast_bf16() -> bool:
    """Return whether products of bfloat16 are faster than those of float32 here."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
