"""Texts to unit vectors, by one recipe of prefixes, and of lengths unless training has its own.

A thin layer around `SentenceTransformer`, whose pooling is kept where the folder states one. Imports neither Ray nor
DeepSpeed, so that it runs and can be measured with torch and sentence-transformers alone.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
from torch import Tensor, nn

from syneg.encoder import architecture, on_cpu, packed
from syneg.encoder.recipe import Kind, Recipe
from syneg.errors import BadInput
from syneg.store import models

if TYPE_CHECKING:  # a bare GPU machine measures without the config's library
    from syneg.settings.encoder import EncoderConfig

# What the transformer takes: input_ids [N, L], attention_mask [N, L], ...; on CUDA one row without padding (packed.py).
Features = dict[str, Any]

# Tokens, padding included, that are a batch. Twice as many lose a twentieth on a CPU: new memory for each batch.
_TOKENS_PER_BATCH = {"cpu": 1_536, "cuda": 131_072}

# A tokeniser keeps, as long as its answer lives, what it cut off a text too: 70 KB of a passage of 300 words.
_TEXTS_AT_ONCE = 128


@dataclass(frozen=True)
class Tokens:
    """N tokenised texts of one kind, cut to their length, not yet padded."""

    kind: Kind
    ids: list[list[int]]
    truncated: int  # how many of the texts were longer than what is left of them

    def lengths(self) -> np.ndarray:
        return np.fromiter((len(ids) for ids in self.ids), dtype=np.int64, count=len(self.ids))


class Encoder(nn.Module):
    """A sentence-transformers model whose output is always L2-normalised.

    `forward` takes what `features` gives and returns vectors [N, D] with gradients; `encode` is for inference. With
    `autocast` set both compute in that precision, while weights, gradients and an optimiser's state stay in float32.
    """

    autocast: torch.dtype | None = None
    at_once: int = 1  # batches that `encode` is at, each with torch's threads: two at one thread beat one at two

    def __init__(self, model: SentenceTransformer, recipe: Recipe) -> None:
        super().__init__()
        _check(model, recipe)
        model.truncate_dim = None  # only `SentenceTransformer.encode` heeds it: what is saved here has whole vectors
        if not isinstance(model[-1], Normalize):
            model.append(Normalize())
        self.model = model
        self.recipe = recipe
        self._prompt_tokens: dict[Kind, int] = {}
        if any(isinstance(module, Pooling) and not module.include_prompt for module in model):
            for kind in ("query", "passage"):
                measured: Any = model.preprocess(["a"], prompt=recipe.prompt(kind)).get("prompt_length", 0)
                self._prompt_tokens[kind] = measured
        self._first_position: int | None = None
        self._compiled = False
        if self.device.type == "cuda":
            self.pack(compiled=True)
        else:
            on_cpu.install(model, model[0].config)

    @classmethod
    def load(
        cls, address: str | Path, recipe: Recipe, device: str | None = None, trust_remote_code: bool = False
    ) -> "Encoder":
        """A sentence-transformers or transformers folder, in float32, from a disk or from object storage.

        `device` None: CUDA if there is one.

        Raises:
            BadInput: the recipe asks for more tokens than the model has positions, or the model takes no plain text.
        """
        folder = models.locate(str(address))
        model = SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            model_kwargs={"dtype": torch.float32},
        )
        if recipe.pooling and not architecture.states_pooling(str(folder), "encoder.model"):
            _pool(model, recipe.pooling)
        return cls(model, recipe)

    @classmethod
    def for_inference(cls, address: str | Path, config: "EncoderConfig") -> "Encoder":
        """As `load`, by the config's recipe, its weights in the config's precision."""
        encoder = cls.load(address, Recipe.of(config), trust_remote_code=config.trust_remote_code)
        on_device = "bfloat16" if encoder.device.type == "cuda" else "float32"
        return encoder.to(getattr(torch, config.dtype or on_device))

    def pack(self, compiled: bool) -> None:
        """Lays batches out without padding from now on, and compiles the layers, if this kind of model allows it."""
        self._first_position = packed.install(self.model)
        self._compiled = compiled and self._first_position is not None
        if self._compiled:
            packed.compile_layers(self.model)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def dimensions(self) -> int:
        dimensions = self.model.get_embedding_dimension()
        assert dimensions is not None  # _check has seen a transformer
        return dimensions

    def tokenize(self, texts: Sequence[str], kind: Kind, max_length: int | None = None) -> Tokens:
        """`max_length` None: the recipe's. Lone surrogates, which no tokeniser takes, become question marks;
        a stored text has U+FFFD in their place already."""
        limit = max_length or self.recipe.max_length(kind)
        starts = range(0, len(texts), _TEXTS_AT_ONCE)
        pieces = [self._cut_into_tokens(texts[start : start + _TEXTS_AT_ONCE], kind, limit) for start in starts]
        ids = [tokens for piece, _ in pieces for tokens in piece]
        return Tokens(kind, ids, sum(truncated for _, truncated in pieces))

    def _cut_into_tokens(self, texts: Sequence[str], kind: Kind, limit: int) -> tuple[list[list[int]], int]:
        prompt = self.recipe.prompt(kind)
        clean = [f"{prompt}{text}".encode("utf-8", "replace").decode("utf-8") for text in texts]
        batch = self.model.tokenizer(clean, truncation=True, max_length=limit, return_attention_mask=False)
        ids: list[list[int]] = batch["input_ids"]
        full = [place for place, kept in enumerate(ids) if len(kept) >= limit]
        if batch.encodings is None:  # a tokeniser written in Python does not tell
            cut = [len(self.model.tokenizer(clean[place])["input_ids"]) > limit for place in full]
        else:
            cut = [bool(batch.encodings[place].overflowing) for place in full]
        return ids, sum(cut)

    def lay_out(self, tokens: Tokens, rows: Sequence[int] | np.ndarray) -> Features:
        """The model's input for these rows of `tokens`, padded to the longest of them or packed, on its device."""
        ids = [tokens.ids[row] for row in rows]
        if self._first_position is None:
            made = self.model.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        else:
            made = packed.features(ids, self._first_position)
        features: Features = {
            name: self._on_device(values) if isinstance(values, Tensor) else values for name, values in made.items()
        }
        if tokens.kind in self._prompt_tokens:
            features["prompt_length"] = self._prompt_tokens[tokens.kind]
        return features

    def _on_device(self, values: Tensor) -> Tensor:
        """From pinned memory a GPU copies when it comes to it, and nobody waits."""
        on_gpu = self.device.type == "cuda"
        return (values.pin_memory() if on_gpu else values).to(self.device, non_blocking=on_gpu)

    def features(self, texts: Sequence[str], kind: Kind, max_length: int | None = None) -> Features:
        tokens = self.tokenize(texts, kind, max_length)
        return self.lay_out(tokens, range(len(texts)))

    def forward(self, features: Features) -> Tensor:
        """Unit vectors [N, D]. `features` are left as they are, so that they can be encoded again."""
        wanted = torch.is_grad_enabled()
        # torch.compile makes another graph of a pass without gradients, and there dropout draws something else.
        with (
            torch.set_grad_enabled(wanted or (self.training and self._compiled)),
            torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None),
        ):
            vectors_ND: Tensor = self.model(dict(features))["sentence_embedding"]
        return vectors_ND if wanted else vectors_ND.detach()

    def encode(self, texts: Sequence[str], kind: Kind) -> np.ndarray:
        """Unit vectors float32 [N, D] in the order of `texts`."""
        return self.encode_tokens(self.tokenize(texts, kind))

    def encode_tokens(self, tokens: Tokens) -> np.ndarray:
        """As `encode`, of texts that are tokens already."""
        vectors_ND = np.empty((len(tokens.ids), self.dimensions), dtype=np.float32)
        for rows, encoded in self.encode_batches(tokens):
            vectors_ND[rows] = encoded
        return vectors_ND

    def encode_batches(self, tokens: Tokens) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers and vectors float32 [n, D], batch by batch, until every text was in one.

        Texts of one length are encoded together, so that little is spent on padding. While a GPU encodes a batch, the
        next one is laid out.
        """
        was_training, kind = self.training, self.device.type
        ahead = max(self.at_once - 1, int(kind == "cuda"))
        waiting: deque[tuple[np.ndarray, Future[Tensor]]] = deque()
        self.eval()
        try:
            with ThreadPoolExecutor(self.at_once) as pool:
                for rows in by_length(tokens.lengths(), _TOKENS_PER_BATCH.get(kind, _TOKENS_PER_BATCH["cpu"])):
                    waiting.append((rows, pool.submit(self._encode_batch, tokens, rows)))
                    if len(waiting) > ahead:
                        yield _fetched(*waiting.popleft())
                while waiting:
                    yield _fetched(*waiting.popleft())
        finally:
            self.train(was_training)

    def _encode_batch(self, tokens: Tokens, rows: np.ndarray) -> Tensor:
        """On a GPU it returns before the vectors are there."""
        with torch.inference_mode():
            return self(self.lay_out(tokens, rows)).float()

    def save(self, folder: Path) -> None:
        """A sentence-transformers folder whose `encode_query` and `encode_document` follow the same recipe.

        The weights get memory of their own: under ZeRO all are views of one buffer, which safetensors refuses to write.
        So whatever trained them loses hold of them.
        """
        recipe = self.recipe
        for weight in self.parameters():
            weight.data = weight.data.clone()
        self.model.prompts.clear()
        self.model.prompts.update(query=recipe.query_prompt, document=recipe.passage_prompt)
        self.model.default_prompt_name = None
        self.model.similarity_fn_name = "cosine"
        self.model.max_seq_length = max(recipe.query_max_length, recipe.passage_max_length)
        transformer: Any = self.model[0]
        transformer.query_length = recipe.query_max_length
        transformer.document_length = recipe.passage_max_length
        self.model.save(str(folder), create_model_card=False)


def _fetched(rows: np.ndarray, encoded: "Future[Tensor]") -> tuple[np.ndarray, np.ndarray]:
    return rows, encoded.result().cpu().numpy()


def _pool(model: SentenceTransformer, mode: str) -> None:
    """Has the pooling that sentence-transformers put behind a bare transformer take another mode."""
    for module in model:
        if isinstance(module, Pooling):
            module.pooling_mode = mode


def _check(model: SentenceTransformer, recipe: Recipe) -> None:
    transformer: Any = model[0]
    if not hasattr(transformer, "auto_model"):
        raise BadInput(f"encoder.model begins with a {type(transformer).__name__}; expected a transformer.")
    if "text" not in transformer.modalities or "message" in transformer.modalities:
        raise BadInput(f"encoder.model takes {transformer.modalities}; expected a model that takes plain text.")
    positions = architecture.tokens(transformer.config.to_dict())
    for kind in ("query", "passage"):
        if positions and recipe.max_length(kind) > positions:
            raise BadInput(
                f"encoder.{kind}_max_length is {recipe.max_length(kind)}, but the model has {positions} positions. "
                f"Give {positions} or less."
            )


def by_length(lengths_N: np.ndarray, budget: int) -> list[np.ndarray]:
    """Row numbers cut into batches, longest texts first, each within `budget` tokens after padding.

    A text longer than the budget is a batch of its own. The longest come first so that a lack of memory shows at once.
    """
    order = np.argsort(-lengths_N, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, budget // int(lengths_N[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches
