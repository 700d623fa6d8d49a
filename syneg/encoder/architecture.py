"""What a model's folder says of the model, read as JSON and without loading it: `syneg plan` asks here."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from syneg.errors import BadInput
from syneg.store import files, models

_MODULES, _CONFIG = "modules.json", "config.json"
_WIDTHS = ("hidden_size", "dim", "d_model")  # as BERT's kin, DistilBERT and T5 call it

# Kinds of model that count positions from behind the padding's, and so take fewer tokens than they have positions.
_FROM_PADDING = {
    *("camembert", "data2vec-text", "ibert", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm"),
    *("xlm-roberta", "xlm-roberta-xl", "xmod"),
}
_PADDING = 1  # theirs, where the folder does not say


@dataclass(frozen=True)
class Architecture:
    """None where the folder does not say, or there is no limit."""

    tokens: int | None  # that a text may have
    dimensions: int | None  # of a vector


def read(address: str, key: str, trust_remote_code: bool = False) -> Architecture:
    """Of the sentence-transformers or transformers folder at `address`. `key` is the config's, for messages.

    Raises:
        BadInput: there is no model, or its folder is none that transformers could load.
    """
    folder = address.rstrip("/") if files.is_remote(address) else str(models.locate(address, key))
    modules = _modules(folder, key)
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
    folder = address.rstrip("/") if files.is_remote(address) else str(models.locate(address, key))
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


def _modules(folder: str, key: str) -> list[dict[str, Any]]:
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
