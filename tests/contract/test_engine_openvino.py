"""Models on OpenVINO keep the contract, and say what transformers says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smart_speed.engines import hf
from smart_speed.engines.base import OPENVINO_GRAPH, LoadedModel
from smart_speed.errors import ConfigError, ModelError, RollbackError
from smart_speed.loading import LoadOptions, choose_engine, load_model
from smart_speed.sampling import Sampling
from smart_speed.speculative_decoding import EntropyBasedSpeculativeDecoder, EntropyConfig
from smart_speed.testing import check_cached_model
from tests.contract.tiny_hf import (
    TEXT,
    VOCAB_SIZE,
    build,
    fast_tokenizer,
    greedy_text,
    loaded,
    shaken,
)

ov = pytest.importorskip("openvino")
from smart_speed.engines import openvino, openvino_graph  # noqa: E402

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("Llama", {}),
    ("Llama", {"num_key_value_heads": 4}),
    ("Llama", {"tie_word_embeddings": True, "attention_bias": True, "mlp_bias": True}),
    ("Llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}}),
    ("Qwen2", {}),
    ("Mistral", {"sliding_window": None}),
]
"""Grouped and single heads, shared embeddings, biases, scaled positions."""


def compiled(network: Any, width: int | None = None) -> Any:
    graph = openvino_graph.paged_graph(openvino_graph.llama_graph(network), "test")
    if width is not None:
        graph = openvino_graph.of_width(graph, width)
    exact = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
    return ov.Core().compile_model(graph, "CPU", {**exact, "INFERENCE_NUM_THREADS": 1})


def on_openvino(network: Any, context_len: int = 64) -> LoadedModel:
    other = loaded(network)
    return LoadedModel(
        model=openvino.OpenVinoModel(compiled(network), context_len=context_len),
        tokenizer=other.tokenizer,
        engine="openvino",
        path="test",
        description="made for a test",
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of transformers with its tokenizer."""
    path = tmp_path_factory.mktemp("llama")
    build("Llama").save_pretrained(path)
    fast_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def exported(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a graph, as exporters write them."""
    path = tmp_path_factory.mktemp("exported")
    build("Llama").config.save_pretrained(path)
    fast_tokenizer().save_pretrained(path)
    ov.save_model(openvino_graph.llama_graph(build("Llama")), path / OPENVINO_GRAPH)
    return path


@pytest.mark.parametrize(("kind", "changes"), KINDS)
def test_openvino_keeps_the_contract_and_agrees_with_transformers(
    kind: str, changes: dict[str, Any]
) -> None:
    network = shaken(build(kind, **changes), seed=1, strength=0.1)  # biases are zero before
    graph = compiled(network)
    narrow = {width: compiled(network, width) for width in (1, 4)}
    for make in (
        lambda: openvino.OpenVinoModel(graph, context_len=64),
        lambda: openvino.OpenVinoModel(graph, context_len=64, step=4),
        lambda: openvino.OpenVinoModel(graph, context_len=64, step=4, of_width=narrow),
        lambda: openvino.OpenVinoModel(graph, context_len=64, step=8, of_width=narrow),
    ):
        check_cached_model(make, TEXT)
    model = openvino.OpenVinoModel(graph, context_len=64)
    expected = hf.HfModel(network).feed(TEXT, last=len(TEXT))
    np.testing.assert_allclose(model.feed(TEXT, last=len(TEXT)), expected, atol=1e-3)


def test_what_is_kept_survives_when_blocks_are_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "_FIRST_BLOCKS", 1)
    network = build("Llama", max_position_embeddings=512)
    graph = compiled(network)
    text = np.random.default_rng(3).integers(5, 30, size=300).tolist()
    narrow = {width: compiled(network, width) for width in (1, 4)}
    model = openvino.OpenVinoModel(graph, context_len=512, step=4, of_width=narrow)
    for start in range(0, 300, 30):  # blocks hold 32: several are added, most in mid-block
        model.feed(text[start : start + 26], last=1)
        model.feed(text[start + 26 : start + 27], last=1)
        rows = model.feed(text[start + 27 : start + 30], last=1)
    np.testing.assert_allclose(rows, hf.HfModel(network).feed(text, last=1), atol=1e-3)


def test_pass_that_is_filled_up_past_the_context_is_read_like_any_other() -> None:
    network = build("Llama")
    model = openvino.OpenVinoModel(compiled(network), context_len=64, step=8)
    text = np.random.default_rng(3).integers(5, 30, size=64).tolist()
    model.feed(text[:61], last=0)
    rows = model.feed(text[61:], last=3)
    np.testing.assert_allclose(rows, hf.HfModel(network).feed(text, last=3), atol=1e-3)
    with pytest.raises(ConfigError, match="tokens must be 1 to 0 in number"):
        model.feed([5], last=1)


def test_head_scores_no_more_rows_than_are_wanted() -> None:
    model = openvino.OpenVinoModel(compiled(build("Llama")), context_len=64)
    for last in (3, 1, 0):
        assert model.feed(TEXT[:5], last=last).shape == (last, VOCAB_SIZE)
        assert model._request.get_output_tensor(0).shape[0] == max(last, 1)


def test_drafts_change_no_token() -> None:
    network = build("Llama")
    verifier = on_openvino(network)
    drafter = on_openvino(shaken(build("Llama"), seed=1, strength=0.1))
    decoder = EntropyBasedSpeculativeDecoder(verifier, drafter, EntropyConfig(strategy="fixed"))
    made = decoder.generate(TEXT[:6], max_new_tokens=16, sampling=Sampling(ignore_eos=True))
    assert list(made.tokens) == greedy_text(network, TEXT[:6], 16)
    assert sum(turn.record.accepted_len for turn in made.rounds) > 0


def test_folder_of_transformers_and_exported_graph_are_the_same_model(
    folder: Path, exported: Path
) -> None:
    options = LoadOptions(engine="openvino", dtype="float32", threads=1)
    rows = [load_model(str(path), options).model.feed(TEXT, last=3) for path in (folder, exported)]
    np.testing.assert_allclose(rows[0], rows[1], atol=0.05)  # graphs are saved in float16
    np.testing.assert_allclose(rows[0], hf.HfModel(build("Llama")).feed(TEXT, last=3), atol=1e-3)


def test_deep_networks_of_a_moderate_size_get_graphs_for_the_widths_of_decoding(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = LoadOptions(engine="openvino", dtype="float32", threads=1)

    def widths() -> list[int]:
        loaded = load_model(str(folder), options)
        made: Any = loaded.model
        # Costs that were measured are kept by the description.
        assert loaded.description.endswith(", graphs for 1, 4 tokens") == bool(made._of_width)
        made.feed(TEXT[:6], last=0)
        rows = [made.feed(TEXT[6:7], last=1).copy(), made.feed(TEXT[7:10], last=3)]
        whole = hf.HfModel(build("Llama")).feed(TEXT[:10], last=4)
        np.testing.assert_allclose(np.concatenate(rows), whole, atol=1e-3)
        return list(made._of_width)

    assert widths() == []
    monkeypatch.setattr(openvino, "_FEWEST_LAYERS", 3)
    assert widths() == [1, 4]
    monkeypatch.setattr(openvino, "_MOST_WEIGHTS", 100)
    assert widths() == []


def test_exported_folder_goes_to_openvino_by_itself(exported: Path, folder: Path) -> None:
    assert choose_engine(str(exported))[0] == "openvino"
    assert choose_engine(str(folder))[0] == "hf"
    made = load_model(str(exported), LoadOptions(threads=1, context_len=32))
    assert (made.engine, made.model.context_len) == ("openvino", 32)
    assert made.description.startswith("llama, 3 layers, ")


def test_float16_weights_hardly_change_the_logits(folder: Path) -> None:
    models = [
        load_model(str(folder), LoadOptions(engine="openvino", dtype=dtype, threads=1))
        for dtype in ("float16", "float32")
    ]
    rows = [each.model.feed(TEXT, last=3) for each in models]
    np.testing.assert_allclose(rows[0], rows[1], atol=0.05)
    assert not np.array_equal(rows[0], rows[1])
    assert models[0].description.startswith("llama, 3 layers, float16, ")


def test_weights_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    network = build("Llama")
    network.lm_head.weight.data[0, 0] = 1e5
    network.save_pretrained(tmp_path)
    fast_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="dtype must be float32 for a model with weights that"):
        openvino.load(str(tmp_path), dtype="float16", threads=1)
    assert openvino.load(str(tmp_path), dtype="float32", threads=1).model.vocab_size == VOCAB_SIZE


def test_weights_are_float16_where_the_processor_does_not_multiply_bfloat16(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    core: Any = ov.Core()

    class Without:
        def get_property(self, *_names: str) -> list[str]:
            return ["FP32", "INT8"]

        def compile_model(self, *given: Any) -> Any:
            return core.compile_model(*given)

    monkeypatch.setattr(ov, "Core", Without)
    made = openvino.load(str(folder), threads=1)
    assert made.description.startswith("llama, 3 layers, float16, ")


def test_bfloat16_is_refused_where_the_processor_does_not_multiply_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Without:
        def get_property(self, *_names: str) -> list[str]:
            return ["FP32", "INT8"]

    monkeypatch.setattr(ov, "Core", Without)
    rule = r"dtype must be float32 or float16 on a processor .*'bfloat16'"
    with pytest.raises(ConfigError, match=rule):
        openvino.load("anything", dtype="bfloat16")


def test_models_that_cannot_be_laid_out_are_refused(tmp_path: Path) -> None:
    for kind, word in (("GPT2", "gpt2"), ("Mistral", "mistral with a sliding window of 5")):
        path = tmp_path / kind
        build(kind).save_pretrained(path)
        fast_tokenizer().save_pretrained(path)
        with pytest.raises(ModelError, match=f"must be given a model like llama.*which is {word}"):
            openvino.load(str(path))


def test_graph_that_keeps_another_state_is_refused() -> None:
    graph = openvino_graph.llama_graph(build("Llama"))
    info = ov.op.util.VariableInfo()
    info.data_shape, info.data_type, info.variable_id = ov.PartialShape([1]), ov.Type.f32, "other"
    state = ov.op.util.Variable(info)
    kept = ov.opset15.read_value(ov.opset15.constant(np.zeros(1, np.float32)), state)
    graph.add_variables([state])
    graph.add_sinks([ov.opset15.assign(kept, state)])
    with pytest.raises(RollbackError, match=r"keeps 1 states that cannot be rolled back"):
        openvino_graph.paged_graph(graph, "test")


def test_broken_graph_is_refused(exported: Path, tmp_path: Path) -> None:
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / OPENVINO_GRAPH).write_text("<net")
    with pytest.raises(ModelError, match="cannot be read"):
        openvino.load(str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"dtype": "float64"}, "dtype"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"context_len": 65}, "context_len must be 1 to 64"),
    ],
)
def test_settings_that_break_a_rule_are_refused(
    folder: Path, settings: dict[str, Any], rule: str
) -> None:
    with pytest.raises(ConfigError, match=rule):
        openvino.load(str(folder), **settings)


def test_device_is_not_read() -> None:
    with pytest.raises(ConfigError, match="device must be left out with engine 'openvino'"):
        LoadOptions(engine="openvino", device="cpu").for_engine("openvino")
