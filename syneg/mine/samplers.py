"""The samplers: each ranks passages for the queries of a shard, by a formula and a source of its own.

They start functions on workers and hand on what these give; no ranking passes through the driver.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import pyarrow as pa

from syneg.ids import rows_of
from syneg.mine import searches
from syneg.mine.shard import Shard
from syneg.on_ray.workers import Workers
from syneg.search import ivf
from syneg.settings.mine import TRAITS, Bm25Config, MineConfig, SamplerConfig, SamplerName
from syneg.stage import Inputs
from syneg.vectors import unpack

RankingName = Literal["base", "trained", "query_side"]
VECTORS: dict[RankingName, tuple[str, str]] = {
    "base": ("query_vectors", "passage_vectors"),
    "trained": ("tuned_query_vectors", "tuned_passage_vectors"),  # by the model of the round before
    "query_side": ("adore_query_vectors", "passage_vectors"),
}
"""The tables of queries and of passages that a ranking is made of."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """What is mined, and what is made of it once, for all shards."""

    inputs: Inputs
    workers: Workers
    mine: MineConfig
    bm25: Bm25Config
    passages: Any  # handle of `Passages`
    _lists: dict[str, list[Any]] = field(default_factory=dict, init=False)  # by the table of the vectors

    @cached_property
    def bm25_index(self) -> Any:
        parts = self.inputs.tables["passages"].split(self.workers.count)
        terms = [self.workers.start(searches.count_terms, part, self.bm25) for part in parts]
        return self.workers.start(searches.index_terms, self.bm25, *terms)

    def lists(self, of_passages: str) -> list[Any]:
        """Handles of `ivf.Lists`, one for each worker's share of the passages."""
        if of_passages not in self._lists:
            vectors, workers = self.inputs.tables[of_passages], self.workers
            centres = workers.start(ivf.Centres.learn, vectors, self.mine.ivf)
            parts = vectors.split(workers.count)
            self._lists[of_passages] = [workers.start(ivf.Lists.of, centres, part) for part in parts]
        return self._lists[of_passages]


@dataclass(frozen=True, eq=False)
class Search:
    """The rankings of one shard, as handles. What two samplers need is searched once."""

    corpus: Corpus
    shard: Shard
    _found: dict[RankingName, Any] = field(default_factory=dict, init=False)

    @cached_property
    def rankings(self) -> dict[RankingName, tuple[SamplerName, ...]]:
        """The rankings by vectors that the samplers of this run take, and who takes each."""
        newest: RankingName = "trained" if "tuned_passage_vectors" in self.corpus.inputs.tables else "base"
        asked: dict[RankingName, tuple[SamplerName, ...]] = {}
        for sampler in self.corpus.mine.samplers:
            if vectors := TRAITS[sampler].vectors:
                name = newest if vectors == "newest" else vectors
                asked[name] = (*asked.get(name, ()), sampler)
        return asked

    def by_vectors(self, sampler: SamplerName) -> Any:
        return self.ranking(next(name for name, takers in self.rankings.items() if sampler in takers))

    def ranking(self, name: RankingName) -> Any:
        if name not in self._found:
            self._found[name] = self._searched(name)
        return self._found[name]

    def _searched(self, name: RankingName) -> Any:
        """By cosine, as deep as the deepest of the samplers that take it looks."""
        corpus, workers, tables = self.corpus, self.corpus.workers, self.corpus.inputs.tables
        of_queries, of_passages = VECTORS[name]
        depth = max(corpus.mine.samplers[sampler].window_end for sampler in self.rankings[name])
        queries = tables[of_queries].where("id", self.shard.ids.to_pylist())
        queries = queries.take(pa.array(rows_of(self.shard.ids, queries["id"])))
        embedded = workers.put(searches.Embedded(self.shard, unpack(queries["vector"])))
        if corpus.mine.index == "exact":
            parts = tables[of_passages].split(workers.count)
            found = [workers.start(searches.search_vectors, embedded, part, depth) for part in parts]
        else:
            found = [workers.start(searches.search_lists, embedded, own, depth) for own in corpus.lists(of_passages)]
        return workers.start(searches.join_found, embedded, depth, *found)

    def start(self, function: Callable[..., searches.Ranking], *arguments: Any) -> Any:
        return self.corpus.workers.start(function, *arguments)


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
    return search.start(searches.cut, search.by_vectors("dense"), sampler.window_end)


def _ance(search: Search, sampler: SamplerConfig) -> Any:
    """Top of the encoder that the round before trained (ANCE, arXiv 2007.00808); in the first round, of the base.

    In the paper one process trains while another refreshes the index; here a round ends before the next begins.
    """
    return search.start(searches.cut, search.by_vectors("ance"), sampler.window_end)


def _simans(search: Search, sampler: SamplerConfig) -> Any:
    """Drawn without replacement from a window of the frozen encoder's ranking, by p_i proportional to
    exp(-a (s(q,d_i) - s(q,d+) - b)^2) (SimANS, arXiv 2210.11773, equation 4). Ranks are the order of the draw."""
    window = search.start(searches.cut, search.by_vectors("simans"), sampler.window_end)
    return search.start(searches.draw_simans, search.shard, window, sampler.window_start, search.corpus.mine)


def _adore(search: Search, sampler: SamplerConfig) -> Any:
    """Top of the passages, by their base vectors, for the query encoder that ADORE trained (arXiv 2104.08051).

    ADORE itself is the stage of that name, which searches its negatives anew at every step. What is ranked here is
    what its last step left: a snapshot, with which the stage train does not go on searching.
    """
    return search.start(searches.cut, search.by_vectors("adore"), sampler.window_end)


SAMPLERS: dict[SamplerName, Sampler] = {
    "random": _random,
    "bm25": _bm25,
    "dense": _dense,
    "ance": _ance,
    "simans": _simans,
    "adore": _adore,
}
