"""What a drafter is taught, and what it begins with, position by position."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from smart_speed.errors import ConfigError, ModelError  # noqa: E402
from smart_speed.training.corpus import Example  # noqa: E402
from smart_speed.training.distilling import distillation_loss  # noqa: E402
from smart_speed.training.packing import PackedRows  # noqa: E402
from smart_speed.training.settings import DrafterShape  # noqa: E402
from smart_speed.training.starting import start_network  # noqa: E402
from tests.contract.tiny_hf import VOCAB_SIZE, build  # noqa: E402

KEPT = [3, 5, 6, 9]
EXAMPLE = Example(
    prompt=np.array([3, 4, 5]),
    answer=np.array([9, 8, 6]),
    top_ids=np.array([[9, 3], [8, 9], [6, 7]]),
    top_logprobs=np.log(np.array([[0.6, 0.2], [0.5, 0.3], [0.9, 0.05]])).astype(np.float16),
)


def test_rows_hold_for_each_position_what_comes_next() -> None:
    rows = PackedRows([EXAMPLE, EXAMPLE], row_len=6, kept_ids=KEPT, vocab_size=VOCAB_SIZE)
    assert len(rows) == 2
    for row in (rows[0], rows[1]):
        assert row["input_ids"].tolist() == [0, 4, 1, 3, 4, 2]  # 4 stands for the others
        assert row["verifier_input_ids"].tolist() == [3, 4, 5, 9, 8, 6]
        assert row["answered"].tolist() == [False, False, True, True, True, False]
        assert row["top_ids"][row["answered"]].tolist() == [[3, 0], [4, 3], [2, 4]]
        probs = row["top_logprobs"][row["answered"]].exp().flatten().tolist()
        assert probs == pytest.approx([0.6, 0.2, 0.5, 0.3, 0.9, 0.05], rel=2e-3)


def test_rows_must_be_filled() -> None:
    with pytest.raises(ConfigError, match="corpus must be at least 7 tokens long, got 6"):
        PackedRows([EXAMPLE], row_len=7, kept_ids=None, vocab_size=VOCAB_SIZE)


@pytest.mark.parametrize("hard_share", [0.0, 0.3, 1.0])
def test_the_loss_is_cross_entropy_with_law_and_likeliest_token(hard_share: float) -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 5, dtype=torch.float64)
    ids = torch.tensor([[1, 4, 4], [0, 2, 3], [4, 0, 4], [3, 1, 2]])  # 4 twice: all that is unknown
    probs = torch.tensor([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0], [0.4, 0.35, 0.25], [0.6, 0.3, 0.1]])
    law = torch.zeros(4, 5, dtype=torch.float64).scatter_add_(1, ids, probs.double())
    law = (1 - hard_share) * law
    law[torch.arange(4), ids[:, 0]] += hard_share
    expected = -(law * logits.log_softmax(-1)).sum(-1).mean()
    found = distillation_loss(logits, ids, probs, hard_share)
    assert float(found) == pytest.approx(float(expected), abs=1e-6)


def test_a_batch_without_answers_teaches_nothing() -> None:
    logits = torch.zeros(0, 5, requires_grad=True)
    loss = distillation_loss(
        logits, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, 2), hard_share=0.2
    )
    loss.backward()  # type: ignore[no-untyped-call]  # torch says nothing of its types
    assert loss.item() == 0


def test_kept_layers_and_rows_are_the_verifiers() -> None:
    verifier = build("Llama")
    shape = DrafterShape(keep_layers=(0, -1), vocab_size=len(KEPT) + 1)
    drafter = start_network(verifier, shape, KEPT)
    theirs, own = verifier.state_dict(), drafter.state_dict()
    for place, number in ((0, 0), (1, 2)):
        for name in ("self_attn.q_proj", "mlp.down_proj", "input_layernorm"):
            source = theirs[f"model.layers.{number}.{name}.weight"]
            assert torch.equal(own[f"model.layers.{place}.{name}.weight"], source)
    assert torch.equal(own["model.norm.weight"], theirs["model.norm.weight"])
    head = verifier.get_output_embeddings().weight
    assert torch.equal(drafter.get_input_embeddings().weight[:-1], head[KEPT])
    assert drafter.get_output_embeddings().weight is drafter.get_input_embeddings().weight


def test_a_narrower_embedding_keeps_what_the_verifiers_rows_have_to_do_with_each_other() -> None:
    """Rows that lie in few directions lose nothing but their scale."""
    verifier = build("Llama", tie_word_embeddings=True)
    with torch.no_grad():
        rows = verifier.get_output_embeddings().weight
        rows.copy_(torch.randn(VOCAB_SIZE, 8) @ torch.randn(8, rows.shape[1]))
    shape = DrafterShape(num_layers=1, width=8, num_heads=2, num_key_value_heads=1)
    found = start_network(verifier, shape, None).get_input_embeddings().weight
    products, expected = found @ found.T, rows @ rows.T
    scale = (products * expected).sum() / (expected * expected).sum()
    torch.testing.assert_close(products, scale * expected, rtol=1e-3, atol=1e-3)
    assert found.std().item() == pytest.approx(rows.std().item(), rel=1e-4)


def test_a_verifier_of_another_form_gives_its_size_and_embedding() -> None:
    verifier = build("GPT2", intermediate_size=None)
    drafter = start_network(verifier, DrafterShape(num_layers=1), KEPT)
    assert (drafter.config.hidden_size, drafter.config.intermediate_size) == (16, 64)
    head = verifier.get_output_embeddings().weight
    assert torch.equal(drafter.get_input_embeddings().weight[:-1], head[KEPT])


def test_layers_can_be_kept_of_llamas_form_only() -> None:
    with pytest.raises(ConfigError, match="keep_layers must be from -3 to 2, got 3"):
        start_network(build("Llama"), DrafterShape(keep_layers=(3,)), None)
    with pytest.raises(ModelError, match="of Llama's form only, got 'gpt2'"):
        start_network(build("GPT2"), DrafterShape(keep_layers=(0,)), None)
