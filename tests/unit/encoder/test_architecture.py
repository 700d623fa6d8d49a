"""What a model's folder says, against what transformers and sentence-transformers make of the same folder."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from syneg.encoder import architecture
from syneg.encoder.architecture import Architecture, Prompts
from syneg.errors import BadInput
from syneg.store import files
from tests.tiny_bert import tiny_bert

KEY = "encoder.model"
SMALL = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 20,
}
OF_KIND: dict[str, dict[str, Any]] = {
    "distilbert": {"vocab_size": 50, "dim": 16, "n_layers": 1, "n_heads": 2, "hidden_dim": 16},
    "luke": SMALL | {"entity_vocab_size": 10, "entity_emb_size": 8},
    "longformer": SMALL | {"attention_window": 4},
    "xmod": SMALL | {"languages": ["en_XX"], "default_language": "en_XX"},
}
BERT = {"model_type": "bert", "hidden_size": 16, "max_position_embeddings": 20}
MODULES = [
    {"path": "0_Transformer", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
DENSE = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
NORMALIZE = {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}
TWO_MODES = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": False}


def folder(place: Path, contents: dict[str, Any]) -> str:
    for name, content in contents.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(place)


@pytest.mark.parametrize("kind", ["bert", "deberta", "distilbert", "electra", *sorted(architecture._FROM_PADDING)])
def test_a_model_takes_as_many_tokens_as_its_folder_says_and_no_more(kind: str, tmp_path: Path) -> None:
    config = AutoConfig.for_model(kind, **OF_KIND.get(kind, SMALL) | {"max_position_embeddings": 20})
    config.save_pretrained(tmp_path)
    model = AutoModel.from_config(config).eval()

    def encode(tokens: int) -> None:
        model(input_ids=torch.full((1, tokens), 7), attention_mask=torch.ones(1, tokens, dtype=torch.long))

    said = architecture.read(str(tmp_path), KEY)
    assert said.tokens is not None
    assert said.dimensions == 16
    encode(said.tokens)
    with pytest.raises((IndexError, RuntimeError)):
        encode(said.tokens + 1)


def test_of_a_folder_of_sentence_transformers(tmp_path: Path) -> None:
    assert architecture.read(str(tiny_bert(tmp_path / "m")), KEY) == Architecture(64, 32)


@pytest.mark.parametrize(
    ("modules", "pooling", "expected"),
    [
        (MODULES, {}, Architecture(20, 16)),
        ([*MODULES, NORMALIZE], {"pooling_mode": "cls"}, Architecture(20, 16)),
        (MODULES, {"pooling_mode": ["cls", "mean"]}, Architecture(20, 32)),
        (MODULES, TWO_MODES, Architecture(20, 32)),
        ([*MODULES, DENSE], {}, Architecture(20, None)),
        ([MODULES[0], {"path": "1", "type": "their.own.Pooling"}], {}, Architecture(20, None)),
        ([{"path": "", "type": "their.own.Transformer"}], {}, Architecture(None, None)),
    ],
)
def test_modules(modules: list[dict], pooling: dict, expected: Architecture, tmp_path: Path) -> None:
    contents = {"modules.json": modules, "0_Transformer/config.json": BERT, "1_Pooling/config.json": pooling}
    assert architecture.read(folder(tmp_path, contents), KEY) == expected


@pytest.mark.parametrize("config", [{"model_type": "t5", "n_positions": 512}, {"model_type": "xlnet"}])
def test_without_a_limit(config: dict, tmp_path: Path) -> None:
    assert architecture.read(folder(tmp_path, {"config.json": config}), KEY) == Architecture(None, None)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"config.json": {"hidden_size": 16}}, r"has no model_type.*put it in"),
        ({"config.json": "{"}, r"config\.json is no JSON"),
        ({"config.json": [1]}, "holds a list; expected a dict"),
        ({"config.json": '"\x00"'}, "is no JSON"),
        ({"modules.json": "no"}, r"modules\.json is no JSON"),
        ({"modules.json": []}, "is no list of modules"),
        ({"modules.json": [{"type": "x"}]}, "is no list of modules"),
        ({"modules.json": MODULES}, r"0_Transformer/config\.json cannot be read \(No such file"),
        ({"modules.json": MODULES, "0_Transformer/config.json": BERT}, r"1_Pooling/config\.json cannot be read"),
        ({"README.md": ""}, r"without config\.json or modules\.json"),
    ],
)
def test_what_is_no_model_is_refused(contents: dict, message: str, tmp_path: Path) -> None:
    address = folder(tmp_path / "model", contents)
    with pytest.raises(BadInput, match=message) as caught:
        architecture.read(address, KEY)
    assert str(caught.value).startswith(f"{KEY}: ")
    assert address in str(caught.value)


def test_code_of_its_own_says_what_kind_it_is(tmp_path: Path) -> None:
    config = {"auto_map": {"AutoConfig": "configuration.Mine"}, "max_position_embeddings": 20, "hidden_size": 16}
    address = folder(tmp_path, {"config.json": config})
    assert architecture.read(address, KEY, trust_remote_code=True) == Architecture(20, 16)
    with pytest.raises(BadInput, match="has no model_type"):
        architecture.read(address, KEY)


def test_in_object_storage(s3_root: str) -> None:
    files.put(f"{s3_root}/model/modules.json", json.dumps(MODULES[:1]).encode())
    with pytest.raises(BadInput, match=r"0_Transformer/config\.json cannot be read"):
        architecture.read(f"{s3_root}/model", KEY)
    files.put(f"{s3_root}/model/0_Transformer/config.json", json.dumps(BERT).encode())
    assert architecture.read(f"{s3_root}/model/", KEY) == Architecture(20, 16)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"query": "query: ", "document": "passage: "}, ("query: ", "passage: ")),
        ({"query": "q ", "passage": "p ", "corpus": "c "}, ("q ", "p ")),
        ({"query": None, "document": "", "corpus": "c "}, ("", "c ")),
        ({"retrieval": "x"}, ("", "")),
        (None, ("", "")),
    ],
)
def test_prompts_that_a_folder_states(stated: Any, expected: tuple[str, str], tmp_path: Path) -> None:
    address = folder(tmp_path, {"config.json": BERT, "config_sentence_transformers.json": {"prompts": stated}})
    found = architecture.prompts(address, KEY)
    assert (found.query, found.passage) == expected


def test_a_folder_without_prompts_states_none(tmp_path: Path) -> None:
    assert architecture.prompts(folder(tmp_path, {"config.json": BERT}), KEY) == Prompts("", "")


@pytest.mark.parametrize("content", ["{", {"prompts": ["query: "]}, {"prompts": {"query": 1}}])
def test_prompts_that_are_none(content: Any, tmp_path: Path) -> None:
    address = folder(tmp_path, {"config.json": BERT, "config_sentence_transformers.json": content})
    with pytest.raises(BadInput, match=r"encoder\.model: .*config_sentence_transformers\.json"):
        architecture.prompts(address, KEY)


@pytest.mark.parametrize(
    ("config", "decoder"),
    [
        ({"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}, "Qwen3ForCausalLM"),
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "gpt2"),
        ({"model_type": "mine", "architectures": ["MyForCausalLM"]}, "MyForCausalLM"),
        ({"model_type": "qwen3", "architectures": ["Qwen3Model"]}, "qwen3"),
        ({"model_type": "llama"}, "llama"),
        ({"model_type": "bert", "is_decoder": True}, "bert"),
    ],
)
def test_a_decoder_is_to_be_told_how_to_pool(config: dict, decoder: str, tmp_path: Path) -> None:
    address = folder(tmp_path, {"config.json": config})
    with pytest.raises(BadInput, match=rf"is a decoder \({decoder}\) .*Give encoder\.pooling=lasttoken"):
        architecture.check_pooling(address, None)
    architecture.check_pooling(address, "lasttoken")
    assert architecture.pooling_warnings(address, "lasttoken") == []


@pytest.mark.parametrize(
    "config",
    [
        BERT | {"architectures": ["BertForMaskedLM"]},
        {"model_type": "t5", "architectures": ["T5EncoderModel"]},
        {"model_type": "xlm", "architectures": ["XLMWithLMHeadModel"]},
        {"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "is_causal": False},
    ],
)
def test_of_an_encoder_the_mean_is_taken_with_a_warning(config: dict, tmp_path: Path) -> None:
    address = folder(tmp_path, {"config.json": config})
    architecture.check_pooling(address, None)
    (warning,) = architecture.pooling_warnings(address, None)
    assert "has no modules.json that states a pooling, so its tokens' mean is taken" in warning
    architecture.check_pooling(address, "cls")
    assert architecture.pooling_warnings(address, "cls") == []


def test_a_folder_that_states_its_pooling_is_told_no_other(tmp_path: Path) -> None:
    address = str(tiny_bert(tmp_path / "m"))
    architecture.check_pooling(address, None)
    assert architecture.pooling_warnings(address, None) == []
    with pytest.raises(BadInput, match=r"encoder\.pooling is cls, .*which states its own"):
        architecture.check_pooling(address, "cls")


def test_no_kind_that_fills_masks_is_taken_for_a_decoder() -> None:
    causal, masked = set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES), set(MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    assert [kind for kind in masked if kind.startswith(architecture._DECODERS)] == []
    known = {kind for kind in causal if kind.startswith(architecture._DECODERS)}
    assert {"gpt2", "gpt_neox", "llama", "mistral", "qwen2", "qwen3", "gemma2", "phi3", "opt"} <= known
