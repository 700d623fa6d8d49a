"""The schema of every table, and the closed lists of reasons for which a row is rejected."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from syneg.errors import StoreError
from syneg.vectors import bytes_each


def _schema(*columns: tuple[str, pa.DataType], nullable: tuple[str, ...] = ()) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=name in nullable) for name, kind in columns])


_TEXT = pa.string()
_NEGATIVE = pa.struct(
    [
        pa.field("id", _TEXT, nullable=False),
        pa.field("text", _TEXT, nullable=False),
        pa.field("source", _TEXT, nullable=False),  # SYNTHETIC_SOURCE or the sampler's name
        pa.field("score", pa.float32()),  # the sampler's score; null where it has none (synthetic, random)
        pa.field("rank", pa.int32()),
        pa.field("cross_score", pa.float32()),  # the cross-encoder's, which sees no synthetic and no borrowed negative
        pa.field("borrowed_from", _TEXT),  # the query that it was made for, if another (`mix.on_short`)
    ]
)

SYNTHETIC_SOURCE = "synthetic"
"""The `source` of a written negative; that of a retrieved one is its sampler's name."""

PASSAGES = _schema(("passage_id", _TEXT), ("title", _TEXT), ("text", _TEXT))
QUERIES = _schema(("query_id", _TEXT), ("text", _TEXT), ("split", _TEXT))  # split: train, dev or test
QRELS = _schema(("query_id", _TEXT), ("passage_id", _TEXT), ("relevance", pa.int32()))
# What an engine answered, one row a request. `query`, `positive` and `example` are as the LLM was shown them.
ANSWERS = _schema(
    ("negative_id", _TEXT),
    ("query_id", _TEXT),
    ("positive_id", _TEXT),
    ("query", _TEXT),
    ("positive", _TEXT),
    ("example", _TEXT),  # of the style, a mined passage; empty where none was shown
    ("domain", _TEXT),
    ("difficulty", _TEXT),
    ("length", _TEXT),
    ("prompt_version", _TEXT),
    ("model", _TEXT),
    ("seed", pa.int64()),
    ("answer", _TEXT),
    ("finish_reason", _TEXT),  # "stop", "length" (cut at a limit), "refusal", "error", "no_answer", "over_budget"
    ("error", _TEXT),
    ("input_tokens", pa.int32()),
    ("output_tokens", pa.int32()),
    ("cached_tokens", pa.int32()),  # of the input, those that the engine had read before; null where it does not tell
    ("attempts", pa.int32()),  # times that it was asked; tokens are those of all of them
    ("asked_at", pa.float64()),  # Unix seconds, of the last time; null where nothing was asked
    ("seconds", pa.float32()),
    nullable=("error", "cached_tokens", "asked_at", "seconds"),
)
SYNTHETIC = _schema(
    ("negative_id", _TEXT),
    ("query_id", _TEXT),
    ("positive_id", _TEXT),
    ("text", _TEXT),
    ("domain", _TEXT),
    ("difficulty", _TEXT),
    ("length", _TEXT),
    ("reasoning", _TEXT),
    ("prompt_version", _TEXT),
    ("model", _TEXT),
    ("seed", pa.int64()),
    ("input_tokens", pa.int32()),  # of the whole answer, told with the first of its negatives
    ("output_tokens", pa.int32()),
    ("query_similarity", pa.float32()),  # by the encoder that will be trained, where the gate asks it
    ("positive_similarity", pa.float32()),  # the positive's to the query
    ("answer_probability", pa.float32()),  # that it answers the query, by the judge
    ("reject_reason", _TEXT),
    nullable=("query_similarity", "positive_similarity", "answer_probability", "reject_reason"),
)
# What the judge said, one row a text that it was asked of; null where it could not be asked.
JUDGEMENTS = _schema(
    ("id", _TEXT),
    ("answer_probability", pa.float32()),
    ("input_tokens", pa.int32()),
    ("output_tokens", pa.int32()),
    nullable=("answer_probability",),
)
CANDIDATES = _schema(
    ("query_id", _TEXT),
    ("passage_id", _TEXT),
    ("sampler", _TEXT),
    ("rank", pa.int32()),  # 0 is the best, or drawn first (random, simans)
    ("score", pa.float32()),
    ("positive_score", pa.float32()),  # the lowest-scoring positive's, by the same sampler
    ("margin", pa.float32()),  # positive_score - score
    ("cross_score", pa.float32()),  # the cross-encoder's logit, of what passed the filters before it
    ("cross_positive_score", pa.float32()),  # the lowest-scoring positive's
    # At which place among those of its query and sampler the mix takes it, from 0, if none before it is a copy; null
    # where it is rejected.
    ("place", pa.int32()),
    ("answer_probability", pa.float32()),  # that it answers the query, by the judge
    ("reject_reason", _TEXT),
    nullable=(
        "score",
        "positive_score",
        "margin",
        "cross_score",
        "cross_positive_score",
        "place",
        "answer_probability",
        "reject_reason",
    ),
)
# What the cross-encoder of mining scored each positive of a training query; no rows where none was asked.
POSITIVES = _schema(("query_id", _TEXT), ("passage_id", _TEXT), ("cross_score", pa.float32()))
INSTANCES = _schema(
    ("query_id", _TEXT),
    ("query", _TEXT),
    ("positive_id", _TEXT),
    ("positive", _TEXT),
    ("positive_cross_score", pa.float32()),
    ("negatives", pa.list_(pa.field("element", _NEGATIVE, nullable=False))),
    ("short", _TEXT),  # the kinds of which there are too few negatives, each with why
    ("reject_reason", _TEXT),
    nullable=("positive_cross_score", "short", "reject_reason"),
)
RUNS = _schema(
    ("system", _TEXT), ("query_id", _TEXT), ("passage_id", _TEXT), ("rank", pa.int32()), ("score", pa.float32())
)
SCORES = _schema(("system", _TEXT), ("measure", _TEXT), ("query_id", _TEXT), ("value", pa.float64()))
# A test query or its relevant passage ("test_query", "test_positive") that is (nearly) a text that was trained on:
# "query", "positive" or the source of a negative. Jaccard of word 3-grams.
LEAKS = _schema(
    ("test_role", _TEXT),
    ("test_id", _TEXT),
    ("training_role", _TEXT),
    ("training_id", _TEXT),
    ("similarity", pa.float64()),
)
# The probability that the model gives to a query's negatives of one source ("in_batch": other instances' passages), and
# how many of them there are: means over the step's queries.
_MASS = pa.struct(
    [
        pa.field("source", _TEXT, nullable=False),
        pa.field("mass", pa.float32(), nullable=False),
        pa.field("negatives", pa.float32()),
    ]
)
# One row an optimiser step. `gradient_norm` is taken before clipping; `epoch` is the share of the data seen after the
# step, so that 1.0 is the last step of the first epoch. The variance is that of the last 32 steps' norms: ours, not the
# paper's V. `peak_share` is null but on a known CUDA device; quantiles are at 5, 25, 50, 75 and 95 %; nDCG@10 stands
# where a look at dev followed the step.
METRICS = _schema(
    ("step", pa.int32()),
    ("epoch", pa.float32()),
    ("loss", pa.float32()),
    ("learning_rate", pa.float64()),
    ("gradient_norm", pa.float32()),
    ("queries_per_second", pa.float32()),
    ("gradient_norm_variance", pa.float32()),
    ("tokens_per_second", pa.float32()),
    ("peak_share", pa.float32()),
    ("masses", pa.list_(pa.field("element", _MASS, nullable=False))),
    ("positive_scores", pa.list_(pa.float32())),
    ("negative_scores", pa.list_(pa.float32())),
    ("dev_ndcg", pa.float32()),
    nullable=(
        "gradient_norm_variance",
        "tokens_per_second",
        "peak_share",
        "masses",
        "positive_scores",
        "negative_scores",
        "dev_ndcg",
    ),
)
# What the model scored while it trained on a text: source is "positive", "synthetic" or a sampler's name.
SIMILARITIES = _schema(
    ("step", pa.int32()),
    ("query_id", _TEXT),
    ("positive_id", _TEXT),
    ("text_id", _TEXT),
    ("source", _TEXT),
    ("score", pa.float32()),
)
RANKING = _schema(("query_id", _TEXT), ("passage_id", _TEXT), ("rank", pa.int32()), ("score", pa.float32()))
"""What a search returns; not stored as such."""


def vectors(dimensions: int) -> pa.Schema:
    """Embeddings, packed as `syneg.vectors` says."""
    return _schema(("id", _TEXT), ("vector", pa.binary(bytes_each(dimensions))))


def embeddings(dimensions: int) -> pa.Schema:
    """`vectors` as the embed stage stores them, with a hash of the id and the text that were encoded."""
    return vectors(dimensions).append(pa.field("content", _TEXT, nullable=False))


KEYS = {
    "passages": ("passage_id",),
    "queries": ("query_id",),
    "qrels": ("query_id", "passage_id"),
    "passage_vectors": ("id",),
    "query_vectors": ("id",),
    "answers": ("negative_id",),
    "synthetic": ("negative_id",),
    "judgements": ("id",),
    "candidates": ("query_id", "sampler", "passage_id"),
    "positives": ("query_id", "passage_id"),
    "instances": ("query_id", "positive_id"),
    "runs": ("system", "query_id", "passage_id"),
    "scores": ("system", "measure", "query_id"),
    "leaks": ("test_role", "test_id", "training_role", "training_id"),
    "metrics": ("step",),
    "similarities": ("step", "query_id", "positive_id", "text_id"),
}
"""The columns that name a row, by table. No key appears twice in a finished table."""

MADE_FROM = {"answers": "negative_id", "passage_vectors": "content", "query_vectors": "content"}
"""The column that is a hash of what a row was made from, in tables whose rows another output may take over."""

ACCEPTED = pc.field("reject_reason").is_null()  # to filter by


def with_columns(table: pa.Table, **columns: np.ndarray | list) -> pa.Table:
    """`table` with these values in its columns of these names; NaN and None are null."""
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type, from_pandas=True))
    return table


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns, order and types of `schema`.

    Raises:
        StoreError: a column is missing, unknown, of a type that does not cast, or null where it must not be.
    """
    missing = [name for name in schema.names if name not in table.column_names]
    unknown = [name for name in table.column_names if name not in schema.names]
    if missing or unknown:
        raise StoreError(
            f"A table does not fit its schema: missing columns {missing}, unknown columns {unknown}.\n"
            f"Seen: {table.schema.names}\nExpected: {schema.names}"
        )
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise StoreError(
            f"A table does not fit its schema: {error}.\nSeen: {table.schema}\nExpected: {schema}"
        ) from error
