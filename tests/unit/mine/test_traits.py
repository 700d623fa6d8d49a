"""The table of the samplers' traits."""

from typing import get_args

from syneg.config import overrides
from syneg.mine.samplers import SAMPLERS
from syneg.pipeline import graph
from syneg.settings.mine import TRAITS, MineConfig, SamplerConfig, SamplerName


def test_every_sampler_has_its_traits_and_its_function() -> None:
    assert set(TRAITS) == set(SAMPLERS) == set(get_args(SamplerName))


def test_vectors_are_counted_once_by_whose_they_are() -> None:
    both = MineConfig(samplers={"dense": SamplerConfig(), "simans": SamplerConfig(), "bm25": SamplerConfig()})
    assert both.vectors == {"base"}
    assert MineConfig(samplers={"random": SamplerConfig()}).vectors == set()


def test_who_searches_by_a_trained_query_side_has_it_trained() -> None:
    without = overrides.load("configs/demo.yaml")
    asked = overrides.load("configs/demo.yaml", ["mine.samplers.adore={}"])
    assert ("adore" in graph.names(without), "adore" in graph.names(asked)) == (False, True)
