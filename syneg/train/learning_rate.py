"""How the learning rate goes up and down. A function of the step alone, so that a resumed run has the same."""

import math


def learning_rate(step: int, steps: int, peak: float, warmup_ratio: float) -> float:
    """Linear from 0 up to `peak` over the first `warmup_ratio` of `steps`, then linear down towards 0.

    `step` counts from 0; neither the first nor the last step is taken at 0, where it would teach nothing.
    """
    warmup = math.ceil(steps * warmup_ratio)
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (steps - step) / max(1, steps - warmup)
