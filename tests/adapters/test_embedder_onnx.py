"""fastembed and onnxruntime over a tiny model that is built here: a table of token vectors."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from loguru import logger
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from adapters.embedder import EmbedderOptions, make_embedder
from domain.errors import Refused, Unavailable

WORDS = ["[PAD]", "[UNK]", "[CLS]", "red", "green", "blue", "card", "bank"]
TABLE = np.random.default_rng(5).standard_normal((len(WORDS), 16)).astype(np.float32)


def build(folder: Path, *, pooled: bool = False, file: str = "model.onnx", table: np.ndarray = TABLE) -> Path:
    """A model in the layout of the hub. `pooled` gives one row per text, else one per token."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["tokens"])]
    shape: list[str | int] = ["batch", "sequence", table.shape[1]]
    if pooled:
        nodes.append(helper.make_node("ReduceSum", ["tokens", "axes"], ["pooled"], keepdims=0))
        shape = ["batch", table.shape[1]]
    output = helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, shape)
    initial = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axes")]
    graph = helper.make_graph(nodes, "tiny", inputs, [output], initial)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.save(made, folder / file)
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 2)])
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 6, "pad_token": "[PAD]"}))
    (folder / "config.json").write_text(json.dumps({"pad_token_id": 0}))
    return folder


def rows(*words: str) -> np.ndarray:
    return TABLE[[WORDS.index(word) for word in words]]


def unit(row: np.ndarray) -> np.ndarray:
    return row / np.linalg.norm(row)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger.disable("fastembed")
    yield
    logger.enable("fastembed")


def test_a_folder_is_loaded_and_its_tokens_are_averaged(tmp_path: Path) -> None:
    embedder = make_embedder("fastembed", str(build(tmp_path / "tiny")))
    red_card, blue, empty = embedder.embed(["red card", "blue", ""])
    np.testing.assert_allclose(red_card, unit(rows("[CLS]", "red", "card").mean(axis=0)), atol=1e-6)
    np.testing.assert_allclose(blue, unit(rows("[CLS]", "blue").mean(axis=0)), atol=1e-6)
    assert not empty.any()
    assert embedder.embed([]).shape == (0, 16)


def test_the_space_tells_the_model_and_not_where_it_lies(tmp_path: Path) -> None:
    space = make_embedder(None, f"fastembed/{build(tmp_path / 'tiny')}").space
    assert (space.provider, space.model, space.dimension) == ("fastembed", "tiny", 16)
    assert "sha256=" in space.revision
    assert str(tmp_path) not in repr(space)


def test_another_model_in_a_folder_of_the_same_name_is_another_space(tmp_path: Path) -> None:
    one = make_embedder("fastembed", str(build(tmp_path / "a" / "tiny")))
    other = make_embedder("fastembed", str(build(tmp_path / "b" / "tiny", table=-TABLE)))
    same = make_embedder("fastembed", str(build(tmp_path / "c" / "tiny")))
    assert one.space != other.space
    assert one.space == same.space
    np.testing.assert_allclose(one.embed(["red"]), -other.embed(["red"]), atol=1e-6)


def test_a_network_that_pools_itself_is_left_to_it(tmp_path: Path) -> None:
    embedder = make_embedder("fastembed", str(build(tmp_path / "pooled", pooled=True)))
    np.testing.assert_allclose(
        embedder.embed(["red card"])[0], unit(rows("[CLS]", "red", "card").sum(axis=0)), atol=1e-6
    )


@pytest.mark.parametrize(
    ("mode", "word"), [("pooling_mode_cls_token", "[CLS]"), ("pooling_mode_lasttoken", "card")]
)
def test_pooling_is_as_sentence_transformers_noted_it(tmp_path: Path, mode: str, word: str) -> None:
    folder = build(tmp_path / "noted", file="onnx/model.onnx")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({mode: True}))
    vector = make_embedder("fastembed", str(folder)).embed(["red card"])[0]
    np.testing.assert_allclose(vector, unit(rows(word)[0]), atol=1e-6)


def test_a_text_has_the_same_bytes_in_any_company(tmp_path: Path) -> None:
    embedder = make_embedder("fastembed", str(build(tmp_path / "tiny")))
    texts = ["red", "green card bank blue", "card " * 900, "", "bank red"]
    together = embedder.embed(texts)
    for text, row in zip(texts, together, strict=True):
        assert embedder.embed([text])[0].tobytes() == row.tobytes()


def test_a_dimension_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    folder = str(build(tmp_path / "tiny"))
    with pytest.raises(Refused, match="gives 16 dimensions, not 384"):
        make_embedder("fastembed", folder, options=EmbedderOptions(dimension=384)).embed(["red"])


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="there is no folder"):
        make_embedder("fastembed", str(tmp_path / "nothing"))


def test_a_folder_without_a_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"has none of model\.onnx"):
        make_embedder("fastembed", str(tmp_path)).embed(["red"])


def test_a_network_that_is_broken_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "broken")
    (folder / "model.onnx").write_bytes(b"no network")
    with pytest.raises(Refused, match="folder 'broken' has no model that fastembed can load"):
        make_embedder("fastembed", str(folder)).embed(["red"])


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = build(tmp_path / "dumb")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(Refused, match=r"tokenizer\.json"):
        make_embedder("fastembed", str(folder)).embed(["red"])


def test_a_model_that_fastembed_does_not_know_is_refused() -> None:
    with pytest.raises(Refused, match="fastembed knows no model 'nobody/nothing'"):
        make_embedder("fastembed", "nobody/nothing").embed(["red"])


def test_a_hub_out_of_reach_is_unavailable_and_a_folder_is_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    embedder = make_embedder(
        None, "fastembed/BAAI/bge-small-en-v1.5", options=EmbedderOptions(cache_dir=tmp_path)
    )
    with pytest.raises(Unavailable, match=r"BAAI/bge-small-en-v1\.5.*fastembed/PATH-OF-THE-FOLDER"):
        embedder.embed(["red"])


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = str(build(tmp_path / "tiny"))
    monkeypatch.setitem(sys.modules, "fastembed", None)
    with pytest.raises(Refused, match=r"pip install 'lmsys-query-analysis\[fastembed\]'"):
        make_embedder("fastembed", folder).embed(["red"])
