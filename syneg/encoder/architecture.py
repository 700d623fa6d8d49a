"""What a model's folder says of the model, read as JSON and without loading it: `syneg plan` asks here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syneg.errors import BadInput
from syneg.store import files, models

_MODULES, _CONFIG, _PROMPTS = "modules.json", "config.json", "config_sentence_transformers.json"
_WIDTHS = ("hidden_size", "dim", "d_model")  # as BERT and its relatives, DistilBERT and T5 call it

# Kinds of model that count positions from behind the padding's, and so take fewer tokens than they have positions.
_FROM_PADDING = {
    *("camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm"),
    *("xlm-roberta", "xlm-roberta-xl", "xmod"),
}
_PADDING = 1  # theirs, where the folder does not say

# How the kinds of decoders begin whose folders may name no head that tells: one that `AutoModel` saved names none.
_DECODERS = (
    *("bloom", "codegen", "cohere", "deepseek", "exaone", "falcon", "gemma", "glm", "gpt", "granite", "llama"),
    *("minicpm", "ministral", "mistral", "mixtral", "mpt", "nemotron", "olmo", "openai-gpt", "opt", "phi", "qwen"),
    *("smollm", "stablelm", "starcoder"),
)


@dataclass(frozen=True)
class Architecture:
    """None where the folder does not say, or there is no limit."""

    tokens: int | None  # that a text may have
    dimensions: int | None  # of a vector


@dataclass(frozen=True)
class Prompts:
    """Empty where the folder states none."""

    query: str
    passage: str


def prompts(address: str, key: str) -> Prompts:
    """What the folder at `address` has sentence-transformers put before queries and passages. `key` as for `read`.

    Raises:
        BadInput: there is no model, or its prompts are no texts.
    """
    path = files.join(read_from(address, key), _PROMPTS)
    stated = (_json(path, key).get("prompts") or {}) if files.exists(path) else {}
    if not isinstance(stated, dict) or not all(isinstance(text, str | None) for text in stated.values()):
        raise BadInput(f"{key}: {path} holds {stated!r} as prompts; expected a mapping from names to texts.")
    # For documents the names that sentence-transformers knows. It writes an empty one where nobody stated any.
    of_passages = (stated.get(name) for name in ("document", "passage", "corpus"))
    return Prompts(stated.get("query") or "", next(filter(None, of_passages), ""))


def states_pooling(address: str, key: str) -> bool:
    """Whether sentence-transformers wrote the folder: transformers alone says nothing of how tokens become a vector."""
    return files.exists(files.join(read_from(address, key), _MODULES))


def check_pooling(address: str, pooling: str | None) -> None:
    """Raises BadInput unless the folder `encoder.model` or `encoder.pooling`, and not both, tells how to pool. The mean
    is taken for an encoder of which nothing is told (`pooling_warnings`)."""
    if states_pooling(address, "encoder.model"):
        if pooling is not None:
            raise BadInput(
                f"encoder.pooling is {pooling}, but encoder.model={address} has a {_MODULES}, which states its own. "
                "Leave encoder.pooling out."
            )
    elif pooling is None and (kind := _decoder(address)):
        raise BadInput(
            f"encoder.pooling is missing: encoder.model={address} is a decoder ({kind}) without a {_MODULES}, so that "
            "nothing says how its tokens become a vector. Give encoder.pooling=lasttoken, as most embedding models "
            "made of decoders are trained, or mean, or the folder that sentence-transformers wrote."
        )


def pooling_warnings(address: str, pooling: str | None) -> list[str]:
    """What to tell of a folder at `encoder.model` for which the mean was taken, as nothing said otherwise."""
    if pooling is not None or states_pooling(address, "encoder.model"):
        return []
    return [
        f"encoder.model={address} has no {_MODULES} that states a pooling, so its tokens' mean is taken. A model that "
        "was trained with another one is worse by it: give encoder.pooling (cls, mean or lasttoken) to say which."
    ]


def _decoder(address: str) -> str:
    """What a decoder is, by its head or else its kind; empty for an encoder."""
    config = _json(files.join(read_from(address, "encoder.model"), _CONFIG), "encoder.model")
    if config.get("is_causal") is False:
        return ""
    heads, kind = config.get("architectures") or [], str(config.get("model_type"))
    if telling := [head for head in heads if head.endswith("ForCausalLM")]:
        return telling[0]
    return kind if kind.startswith(_DECODERS) or config.get("is_decoder") else ""


def read(address: str, key: str, trust_remote_code: bool = False) -> Architecture:
    """Of the sentence-transformers or transformers folder at `address`. `key` is the config's, for messages.

    Raises:
        BadInput: there is no model, or its folder is none that transformers could load.
    """
    folder = read_from(address, key)
    modules = modules_of(folder, key)
    if modules and not _is(modules[0], "Transformer"):
        return Architecture(None, None)  # code of the model's own, which may look for its files where it likes
    config = _json(files.join(_inside(folder, modules[0]), _CONFIG) if modules else files.join(folder, _CONFIG), key)
    of_its_own = trust_remote_code and "AutoConfig" in (config.get("auto_map") or {})
    if not isinstance(config.get("model_type"), str) and not of_its_own:
        raise BadInput(
            f"{key}: the {_CONFIG} of {address} has no model_type, so transformers cannot tell what model it is. Give "
            'the folder of a whole model, or put it in (e.g. "model_type": "bert").'
        )
    return Architecture(tokens(config), _dimensions(config, folder, modules[1:], key))


def check_scores_pairs(address: str, key: str, max_length: int) -> None:
    """Raises BadInput unless a classifier of one or two labels is at `address` that takes `max_length` tokens."""
    folder = read_from(address, key)
    config = _json(files.join(folder, _CONFIG), key)
    heads, labels = config.get("architectures") or [], len(config.get("id2label", "ny"))  # two unless it says otherwise
    if labels > 2 or not any("SequenceClassification" in head for head in heads):
        raise BadInput(
            f"{key}: {address} is {', '.join(heads) or 'of no known kind'} with {labels} labels. Expected a "
            "sequence-classification model with one label (a score) or two (no, yes)."
        )
    most = tokens(config)
    if most is not None and max_length > most:
        section = key.rpartition(".")[0]
        raise BadInput(
            f"{section}.max_length is {max_length}, but {key}={address} has positions for {most} tokens. Give {most} "
            "or less."
        )


def tokens(config: Mapping[str, Any]) -> int | None:
    """The most that a text may have, by a transformer's config.json; None where it sets no limit."""
    positions, padding = config.get("max_position_embeddings"), config.get("pad_token_id")
    if not isinstance(positions, int) or positions <= 0:
        return None
    if config.get("model_type") in _FROM_PADDING:
        positions -= (padding if isinstance(padding, int) else _PADDING) + 1
    return positions


def _dimensions(config: dict[str, Any], folder: str, others: list[dict[str, Any]], key: str) -> int | None:
    """None where a module follows, such as Dense, that may change the number."""
    width = next((config[name] for name in _WIDTHS if isinstance(config.get(name), int)), None)
    if width is None or not all(_is(module, "Pooling", "Normalize") for module in others):
        return None
    for module in others:
        if _is(module, "Pooling"):
            width *= _pooled(_json(files.join(_inside(folder, module), _CONFIG), key))
    return width


def _pooled(pooling: dict[str, Any]) -> int:
    """How many vectors are laid end to end; older versions of sentence-transformers have a switch for each."""
    mode = pooling.get("pooling_mode")
    if isinstance(mode, list):
        return max(1, len(mode))
    switches = sum(value is True for name, value in pooling.items() if name.startswith("pooling_mode_"))
    return 1 if isinstance(mode, str) else max(1, switches)


def read_from(address: str, key: str) -> str:
    """Where its files are read from. What lies in object storage is not fetched for that."""
    return address.rstrip("/") if files.is_remote(address) else str(models.locate(address, key))


def modules_of(folder: str, key: str) -> list[dict[str, Any]]:
    """None at all where transformers alone wrote the folder."""
    path = files.join(folder, _MODULES)
    if not files.exists(path):
        return []
    modules = _json(path, key, list)
    named = all(isinstance(each, dict) and {"type", "path"} <= each.keys() for each in modules)
    if not modules or not named:
        raise BadInput(
            f"{key}: {path} is no list of modules, each with type and path, as sentence-transformers has it."
        )
    return modules


def _is(module: dict[str, Any], *kinds: str) -> bool:
    package, _, name = str(module["type"]).rpartition(".")
    return package.partition(".")[0] == "sentence_transformers" and name in kinds


def _inside(folder: str, module: dict[str, Any]) -> str:
    return files.join(folder, module["path"]) if module["path"] else folder


def _json(path: str, key: str, kind: type[Any] = dict) -> Any:
    try:
        found = json.loads(files.read(path))
    except OSError as error:
        raise BadInput(
            f"{key}: {path} cannot be read ({error.strerror or error}). Give the folder of a whole model, as "
            "transformers or sentence-transformers write it."
        ) from error
    except ValueError as error:
        raise BadInput(f"{key}: {path} is no JSON ({error}). Give the folder of a whole model.") from error
    if not isinstance(found, kind):
        raise BadInput(f"{key}: {path} holds a {type(found).__name__}; expected a {kind.__name__}.")
    return found
