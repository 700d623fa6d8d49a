"""The graph: every stage as a value, and what reads what."""

from syneg.stage import Stage

_CORPUS = {"passages": "corpus.passages", "queries": "corpus.queries", "qrels": "corpus.qrels"}
_TEXTS = {"passages": "corpus.passages", "queries": "corpus.queries"}

STAGES = (
    Stage(
        "corpus",
        "syneg.corpus.stage:run",
        version=1,
        writes=("passages", "queries", "qrels"),
        sections=("corpus",),
        on_ray=False,
    ),
    Stage(
        "generate",
        "syneg.generate.stage:run",
        version=1,
        reads=_CORPUS,
        writes=("answers",),
        sections=("generate",),
        resumes_by_row=True,
    ),
    Stage(
        "gate",
        "syneg.generate.stage:check",
        version=1,
        reads={"answers": "generate.answers"},
        writes=("synthetic",),
        sections=("generate", "gate"),
    ),
    Stage(
        "embed",
        "syneg.encoder.stage:run",
        version=1,
        reads=_TEXTS,
        writes=("passage_vectors", "query_vectors"),
        sections=("encoder",),
        resumes_by_row=True,
    ),
    Stage(
        "mine",
        "syneg.mine.stage:run",
        version=1,
        reads=_CORPUS | {"passage_vectors": "embed.passage_vectors", "query_vectors": "embed.query_vectors"},
        writes=("candidates",),
        sections=("bm25", "mine"),
        on_ray=False,
    ),
    Stage(
        "mix",
        "syneg.mix.stage:run",
        version=1,
        reads=_CORPUS | {"synthetic": "gate.synthetic", "candidates": "mine.candidates"},
        writes=("instances",),
        sections=("mine", "mix"),
        on_ray=False,
    ),
    Stage(
        "train",
        "syneg.train.stage:run",
        version=1,
        reads={"instances": "mix.instances"},
        writes=("metrics", "similarities"),
        folders=("model",),
        sections=("encoder", "train"),
    ),
    Stage(
        "embed_tuned",
        "syneg.encoder.stage:run",
        version=1,
        reads=_TEXTS | {"model": "train.model"},
        writes=("passage_vectors", "query_vectors"),
        sections=("encoder",),
        resumes_by_row=True,
    ),
    Stage(
        "evaluate",
        "syneg.evaluate.stage:run",
        version=1,
        reads=_CORPUS
        | {
            "passage_vectors": "embed.passage_vectors",
            "query_vectors": "embed.query_vectors",
            "tuned_passage_vectors": "embed_tuned.passage_vectors",
            "tuned_query_vectors": "embed_tuned.query_vectors",
        },
        writes=("runs", "scores"),
        sections=("bm25", "evaluate"),
        on_ray=False,
    ),
    Stage(
        "report",
        "syneg.report.stage:run",
        version=1,
        reads={
            "queries": "corpus.queries",
            "synthetic": "gate.synthetic",
            "candidates": "mine.candidates",
            "instances": "mix.instances",
            "metrics": "train.metrics",
            "similarities": "train.similarities",
            "scores": "evaluate.scores",
        },
        folders=("content",),
        on_ray=False,
    ),
)
"""In an order in which every stage comes after those it reads."""

NAMES = tuple(stage.name for stage in STAGES)
