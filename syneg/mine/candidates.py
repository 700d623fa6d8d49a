"""From rankings to the rows of `candidates`: each with its scores, and with the reason if it is no negative."""

from collections.abc import Collection
from itertools import repeat

import numpy as np
import pyarrow as pa

from syneg import schemas
from syneg.ids import nth_of_group, rows_of
from syneg.mine import cross_encoder, draws
from syneg.mine.facts import Tally
from syneg.mine.filters import Judged, Ranked, reject_reasons, repeated
from syneg.mine.passages import Passages, query_keys
from syneg.mine.searches import Ranking, ranked_rows
from syneg.mine.shard import Shard
from syneg.settings.mine import TRAITS, MineConfig, SamplerConfig, SamplerName
from syneg.stage import Source

_KEY = list(schemas.KEYS["candidates"])  # query_id, sampler, passage_id
_SPARE = 16  # random passages drawn at first beyond those that a short query lacks: some may be positives or copies
_DRAWN = 1_000_000  # random passages in memory at once


def candidates(
    shard: Shard, own: range, passages: Passages, texts: Source, mine: MineConfig, *rankings: Ranking
) -> tuple[pa.Table, pa.Table, Tally]:
    """`schemas.CANDIDATES` and `schemas.POSITIVES` of the queries `own` of a shard, and what there is to tell of them.

    `rankings` are the whole shard's, in the order of the samplers.
    """
    named: dict[SamplerName, Ranking] = {
        name: ranking.narrowed(shard, own) for name, ranking in zip(mine.samplers, rankings, strict=True)
    }
    shard = shard.narrowed(own)
    judged, ranked = _judged(passages, shard, named.values())
    tables = [
        _of_sampler(name, ranking, rows, shard, judged, mine.samplers[name], mine.near_duplicate_bits)
        for (name, ranking), rows in zip(named.items(), ranked, strict=True)
    ]
    found, positives = pa.concat_tables(tables), schemas.POSITIVES.empty_table()
    if mine.cross_encoder is not None:
        found, positives = cross_encoder.filtered(found, shard, texts, mine.cross_encoder)
    keys = passages.keys[np.concatenate(ranked)]
    accepted = accepted_per_query(found, keys, shard)
    short, unfilled = np.flatnonzero(accepted < mine.least), 0
    if mine.on_short == "random" and len(short):
        lacking = mine.least - accepted
        filled = _fill(found, keys, short, lacking, shard, passages, judged, mine)
        unfilled = int((_count(filled, shard)[short] < lacking[short]).sum())
        found = pa.concat_tables([found, filled])
    if mine.on_short == "drop" and len(short):
        found = _without(found, shard.ids.take(pa.array(short)))
    found = _with_places(found, mine)
    anchors = {name: ranking.anchors(shard) for name, ranking in named.items()}
    return found, positives, Tally.of(found, shard, anchors, short, mine, unfilled)


def accepted_per_query(found: pa.Table, keys: np.ndarray, shard: Shard) -> np.ndarray:
    """Different texts that a query may take, over all samplers: int64 [Q]. `keys`: of the passages of `found`."""
    kept, query = found["reject_reason"].is_null().to_numpy(), rows_of(found["query_id"], shard.ids)
    query = query[kept]
    return np.bincount(query[~repeated(query, keys[kept])], minlength=shard.queries.num_rows)


def _judged(passages: Passages, shard: Shard, rankings: Collection[Ranking]) -> tuple[Judged, list[np.ndarray]]:
    """What must not become a negative, and the rows in `passages` of what each of `rankings` ranks.

    All ids are looked up together: it takes a hash table of the whole corpus.
    """
    asked = [pa.chunked_array([shard.positive_ids]), shard.ids, *(each.rows["passage_id"] for each in rankings)]
    chunks = [chunk for ids in asked for chunk in ids.chunks]
    ends = np.cumsum([len(ids) for ids in asked])
    positive, own, *ranked = np.split(rows_of(pa.chunked_array(chunks, pa.string()), passages.ids), ends[:-1])
    pairs = np.column_stack([shard.positive_queries, positive])
    keys = query_keys(shard.queries["text"].to_pylist())
    return Judged(passages.keys, passages.simhashes, pairs[positive >= 0], own, keys), ranked


def _of_sampler(
    name: SamplerName,
    ranking: Ranking,
    passage: np.ndarray,
    shard: Shard,
    judged: Judged,
    settings: SamplerConfig,
    near_duplicate_bits: int | None,
) -> pa.Table:
    """`passage`: the passages' rows in the corpus, int64 [N]."""
    rows = ranking.rows
    query = rows_of(rows["query_id"], shard.ids)
    score, rank = rows["score"].to_numpy(), rows["rank"].to_numpy()
    anchor = ranking.anchors(shard)[query]
    ranked = Ranked(query, passage, rank, score, anchor)
    if TRAITS[name].from_window:
        settings = settings.model_copy(update={"window_start": 0})
    reasons = reject_reasons(ranked, judged, settings, near_duplicate_bits)
    columns = {
        "query_id": rows["query_id"],
        "passage_id": rows["passage_id"],
        "sampler": pa.repeat(pa.scalar(name), rows.num_rows),
        "rank": rows["rank"],
        "score": _nullable(score),
        "positive_score": _nullable(anchor),
        "margin": _nullable(anchor - score),
        "cross_score": pa.nulls(rows.num_rows, pa.float32()),
        "cross_positive_score": pa.nulls(rows.num_rows, pa.float32()),
        "place": pa.nulls(rows.num_rows, pa.int32()),
        "answer_probability": pa.nulls(rows.num_rows, pa.float32()),
        "reject_reason": reasons,
    }
    return pa.table(columns, schema=schemas.CANDIDATES)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.float32(), from_pandas=True)  # NaN is null


def _fill(
    found: pa.Table,
    keys: np.ndarray,
    short: np.ndarray,
    lacking: np.ndarray,
    shard: Shard,
    passages: Passages,
    judged: Judged,
    mine: MineConfig,
) -> pa.Table:
    """Random passages for the `short` queries (rows of the shard), as many as each is `lacking` [Q], as sampler random.

    None has the text of one that was ranked for its query: by `keys`, of the passages of `found`. Where those that were
    drawn do not suffice, twice as many are drawn, up to all there are.
    """
    names, known_query = shard.ids.to_pylist(), rows_of(found["query_id"], shard.ids)
    made, spare = [schemas.CANDIDATES.empty_table()], _SPARE
    while len(short):
        open_Q = np.zeros(shard.queries.num_rows, bool)
        for some in np.array_split(short, -(-len(short) * (mine.least + spare) // _DRAWN)):
            generators = [draws.generator(mine.seed, "fill", names[row]) for row in some]
            counts = (lacking[some] + spare).tolist()
            drawn = [draws.uniform(*each) for each in zip(generators, repeat(len(passages.ids)), counts, strict=False)]
            query, passage = np.repeat(some, list(map(len, drawn))), np.concatenate(drawn)
            known = np.isin(known_query, some)
            queries = np.concatenate([known_query[known], query])
            fresh = ~repeated(queries, np.concatenate([keys[known], passages.keys[passage]]))[known.sum() :]
            table = _random(query[fresh], passage[fresh], shard, passages, judged, mine)
            row = rows_of(table["query_id"], shard.ids)
            enough_Q = (_count(table, shard) >= lacking) | (lacking + spare >= len(passages.ids))
            made.append(table.filter(pa.array(enough_Q[row] & (nth_of_group(row) < lacking[row]))))
            open_Q[some] = ~enough_Q[some]
        short, spare = np.flatnonzero(open_Q), 2 * spare
    return pa.concat_tables(made)


def _random(
    query: np.ndarray, passage: np.ndarray, shard: Shard, passages: Passages, judged: Judged, mine: MineConfig
) -> pa.Table:
    """Those of the pairs drawn (rows) that are negatives, in the order of the draw; its window is the whole corpus."""
    unscored = np.full(len(shard.positive_ids), np.nan, np.float32)
    ranking = Ranking(ranked_rows(shard, query, passages.ids, passage), unscored)
    whole = SamplerConfig(window_end=max(1, len(passages.ids)))
    table = _of_sampler("random", ranking, passage, shard, judged, whole, mine.near_duplicate_bits)
    return table.filter(schemas.ACCEPTED)


def _count(table: pa.Table, shard: Shard) -> np.ndarray:
    """Rows of each query: int64 [Q]."""
    return np.bincount(rows_of(table["query_id"], shard.ids), minlength=shard.queries.num_rows)


def _with_places(found: pa.Table, mine: MineConfig) -> pa.Table:
    """`found` with the `place` of what is accepted: by rank, or by a draw where the sampler's `pick` is uniform."""
    rows = np.flatnonzero(found["reject_reason"].is_null().to_numpy())
    accepted = found.select(_KEY).take(pa.array(rows))
    uniform = pa.array([name for name, sampler in mine.samplers.items() if sampler.pick == "uniform"], pa.string())
    drawn = rows_of(accepted["sampler"], uniform) >= 0
    keys = zip(*(accepted[name].filter(pa.array(drawn)).to_pylist() for name in _KEY), strict=True)
    lots = np.zeros(len(rows))
    lots[drawn] = [draws.lot(mine.seed, "place", *key) for key in keys]
    query, sampler = (accepted[name].combine_chunks().dictionary_encode().indices.to_numpy() for name in _KEY[:2])
    order = np.lexsort((np.arange(len(rows)), lots, query, sampler))  # rows of a group are best first
    place = np.full(found.num_rows, np.nan)
    place[rows[order]] = nth_of_group(query[order], sampler[order])
    return schemas.with_columns(found, place=place)


def _without(found: pa.Table, query_ids: pa.ChunkedArray) -> pa.Table:
    """`found` with all candidates of these queries rejected."""
    reasons = found["reject_reason"].to_numpy().astype(object)
    reasons[(rows_of(found["query_id"], query_ids) >= 0) & found["reject_reason"].is_null().to_numpy()] = "short_query"
    return schemas.with_columns(found, reject_reason=reasons)
