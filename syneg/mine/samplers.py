"""The samplers: each ranks passages for the queries of a shard, by a formula and a source of its own.

They start functions on workers and hand on what these give; no ranking passes through the driver.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa

from syneg.ids import rows_of
from syneg.mine import searches
from syneg.mine.shard import Shard
from syneg.search import dense
from syneg.settings.mine import Bm25Config, MineConfig, SamplerConfig, SamplerName
from syneg.stage import Inputs
from syneg.workers import Workers


@dataclass(frozen=True, eq=False)
class Corpus:
    """What is mined, and what is made of it once, for all shards."""

    inputs: Inputs
    workers: Workers
    mine: MineConfig
    bm25: Bm25Config
    passages: Any  # handle of `Passages`

    @cached_property
    def bm25_index(self) -> Any:
        parts = self.inputs.tables["passages"].split(self.workers.count)
        terms = [self.workers.start(searches.count_terms, part, self.bm25) for part in parts]
        return self.workers.start(searches.index_terms, self.bm25, *terms)


@dataclass(frozen=True, eq=False)
class Search:
    """The rankings of one shard, as handles. What two samplers need is searched once."""

    corpus: Corpus
    shard: Shard

    @cached_property
    def base(self) -> Any:
        return self._by_vectors("query_vectors", "passage_vectors", ("dense", "simans", "ance"))

    @cached_property
    def trained(self) -> Any:
        return self._by_vectors("tuned_query_vectors", "tuned_passage_vectors", ("ance",))

    @cached_property
    def query_side(self) -> Any:
        return self._by_vectors("adore_query_vectors", "passage_vectors", ("adore",))

    @property
    def has_trained(self) -> bool:
        return "tuned_passage_vectors" in self.corpus.inputs.tables

    def start(self, function: Callable[..., searches.Ranking], *arguments: Any) -> Any:
        return self.corpus.workers.start(function, *arguments)

    def _by_vectors(self, of_queries: str, of_passages: str, samplers: tuple[SamplerName, ...]) -> Any:
        """By cosine, as deep as the deepest of `samplers` looks."""
        workers, tables = self.corpus.workers, self.corpus.inputs.tables
        depth = max(sampler.window_end for name, sampler in self.corpus.mine.samplers.items() if name in samplers)
        queries = tables[of_queries].where("id", self.shard.ids.to_pylist())
        queries = queries.take(pa.array(rows_of(self.shard.ids, queries["id"])))
        embedded = workers.put(searches.Embedded(self.shard, dense.matrix(queries["vector"])))
        parts = tables[of_passages].split(workers.count)
        found = [workers.start(searches.search_vectors, embedded, part, depth) for part in parts]
        return workers.start(searches.join_found, embedded, depth, *found)


Sampler = Callable[[Search, SamplerConfig], Any]
"""A handle of the `Ranking` for a shard."""


def _random(search: Search, sampler: SamplerConfig) -> Any:
    """Uniform over the corpus without the query's positives: these are filtered out of the draw."""
    corpus = search.corpus
    return search.start(searches.draw_uniformly, search.shard, corpus.passages, sampler.window_end, corpus.mine.seed)


def _bm25(search: Search, sampler: SamplerConfig) -> Any:
    """Top of BM25 (Robertson and Zaragoza, 2009), Lucene's variant; k1 0.9 and b 0.4 as Anserini's by default."""
    return search.start(searches.search_words, search.corpus.bm25_index, search.shard, sampler.window_end)


def _dense(search: Search, sampler: SamplerConfig) -> Any:
    """Top of the frozen encoder by cosine."""
    return search.start(searches.cut, search.base, sampler.window_end)


def _ance(search: Search, sampler: SamplerConfig) -> Any:
    """Top of the encoder that the round before trained (ANCE, arXiv 2007.00808); in the first round, of the base.

    In the paper one process trains while another refreshes the index; here a round ends before the next begins.
    """
    ranking = search.trained if search.has_trained else search.base
    return search.start(searches.cut, ranking, sampler.window_end)


def _simans(search: Search, sampler: SamplerConfig) -> Any:
    """Drawn without replacement from a window of the frozen encoder's ranking, by p_i proportional to
    exp(-a (s(q,d_i) - s(q,d+) - b)^2) (SimANS, arXiv 2210.11773, equation 4). Ranks are the order of the draw."""
    window = search.start(searches.cut, search.base, sampler.window_end)
    return search.start(searches.draw_simans, search.shard, window, sampler.window_start, search.corpus.mine)


def _adore(search: Search, sampler: SamplerConfig) -> Any:
    """Top of the passages, by their base vectors, for the query encoder that ADORE trained (arXiv 2104.08051).

    ADORE itself is the stage of that name, which searches its negatives anew at every step. What is ranked here is
    what its last step left: a snapshot, with which the stage train does not go on searching.
    """
    return search.start(searches.cut, search.query_side, sampler.window_end)


SAMPLERS: dict[SamplerName, Sampler] = {
    "random": _random,
    "bm25": _bm25,
    "dense": _dense,
    "ance": _ance,
    "simans": _simans,
    "adore": _adore,
}
