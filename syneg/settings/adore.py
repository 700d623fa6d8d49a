"""ADORE: the query encoder trained against passage vectors that stay as they are."""

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from syneg.settings.section import Section, Share


class AdoreConfig(Section):
    """Read where `adore` is among `mine.samplers` (ADORE, arXiv 2104.08051).

    `top_k`, `batch_size`, `weight_decay` and `gradient_clipping` are those of the released code. Its learning rate is
    5e-6 over 6 epochs of MS MARCO's half a million queries; the higher rate, the fewer epochs and the temperature,
    which inner products do without and cosines need, are ours.
    """

    top_k: PositiveInt = 200  # negatives of a query, searched anew at every step
    epochs: PositiveInt = 3
    batch_size: PositiveInt = 32  # queries
    learning_rate: PositiveFloat = 2e-5
    weight_decay: NonNegativeFloat = 0.01
    warmup_ratio: Share = 0.1
    gradient_clipping: PositiveFloat = 1.0
    temperature: PositiveFloat = 0.05
    seed: NonNegativeInt = 0  # of the order of queries and of dropout
