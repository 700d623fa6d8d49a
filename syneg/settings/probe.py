"""Whether synthetic negatives can be told from retrieved ones."""

from pydantic import Field, NonNegativeInt

from syneg.settings.section import Section, Share


class ProbeConfig(Section):
    """The source-shortcut probe: a logistic regression that has to tell the two kinds apart, cross-validated."""

    sample: int = Field(default=300, ge=20)  # negatives of each kind
    folds: int = Field(default=5, ge=2)
    warn_above: Share = 0.8  # AUC: 0.5 is a guess, 1.0 tells all of them apart
    seed: NonNegativeInt = 0
