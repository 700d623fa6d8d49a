"""Results of an experiment as its runs would leave them, with effects that are known."""

from collections.abc import Mapping

import numpy as np

from syneg.experiment.results import Arm, Results

QUERIES = 300
MEASURES = ("nDCG@10", "MAP")


def results(gains: Mapping[str, float], seeds: int = 3, between_seeds: float = 0.004, draw: int = 0) -> Results:
    """One base and an arm for each of `gains`, which is what the arm truly adds."""
    generator = np.random.default_rng(draw)
    base = np.clip(generator.beta(2, 1.2, QUERIES), 0, 1)
    arms = {"base": Arm("base", dict.fromkeys(MEASURES, base[None]), None)}
    for name, gain in gains.items():
        own = generator.normal(gain, 0.12, QUERIES)
        noise = generator.normal(0, 0.05, (seeds, QUERIES)) + generator.normal(0, between_seeds, (seeds, 1))
        arms[name] = Arm(
            name,
            dict.fromkeys(MEASURES, base + own + noise),
            "base",
            {"mix.strategy": name},
            [training(name, seed) for seed in range(seeds)],
        )
    return Results(MEASURES, tuple(f"q{n:03}" for n in range(QUERIES)), tuple(range(seeds)), arms)


def training(arm: str, seed: int, **changed: object) -> dict:
    return {
        "run": f"test-{arm}-{seed}",
        "instances": 100,
        "negatives": {"synthetic": 100, "dense": 100},
        "negatives_per_instance": 2.0,
        "steps": 7,
        "loss": [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        "gradient_norm": [1.0, 1.2, 0.9, 1.1, 1.0, 0.8, 1.0],
        "gradient_norm_mean": 1.0,
        "gradient_norm_variance": 0.02,
        "seconds": {"mix": 0.3, "train": 12.0},
        "facts": {"mix": {"note": "<script>document.title='owned'</script>"}, "train": {"steps": 7}},
    } | changed
