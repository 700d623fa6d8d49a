"""Every stage as a value: its function, what it reads and writes, and what its fingerprint covers."""

from syneg.stage import Stage

_CORPUS = {"passages": "corpus.passages", "queries": "corpus.queries", "qrels": "corpus.qrels"}
_TEXTS = {"passages": "corpus.passages", "queries": "corpus.queries"}

ONE_ROUND = (
    Stage(
        "corpus",
        "syneg.corpus.stage:run",
        version=2,
        writes=("passages", "queries", "qrels"),
        sections=("corpus",),
        on_ray=False,
    ),
    Stage(
        "generate",
        "syneg.generate.stage:run",
        version=6,
        reads=_CORPUS,
        writes=("answers",),
        sections=("generate",),
        resumes_by_row=True,
        pool="generate",
    ),
    Stage(
        "judge",
        "syneg.generate.judge:run",
        version=3,
        reads={"answers": "generate.answers"},
        writes=("judgements",),
        sections=("generate", "judge"),
        resumes_by_row=True,
        pool="generate",
    ),
    Stage(
        "gate",
        "syneg.generate.stage:check",
        version=7,
        reads=_CORPUS | {"answers": "generate.answers", "judgements": "judge.judgements"},
        writes=("synthetic",),
        sections=("generate", "gate", "encoder"),
    ),
    Stage(
        "embed",
        "syneg.encoder.stage:run",
        version=2,
        reads=_TEXTS,
        writes=("passage_vectors", "query_vectors"),
        sections=("encoder",),
        resumes_by_row=True,
        pool="encode",
    ),
    Stage(
        "adore",
        "syneg.train.adore:run",
        version=3,
        reads=_CORPUS | {"passage_vectors": "embed.passage_vectors"},
        writes=("query_vectors",),
        folders=("query_encoder",),
        sections=("encoder", "adore"),
        pool="train",
        one_worker=True,
    ),
    Stage(
        "mine",
        "syneg.mine.stage:run",
        version=7,
        reads=_CORPUS
        | {
            "passage_vectors": "embed.passage_vectors",
            "query_vectors": "embed.query_vectors",
            "adore_query_vectors": "adore.query_vectors",
        },
        writes=("candidates", "positives"),
        sections=("bm25", "mine"),
        pool="mine",
    ),
    Stage(
        "judge_mined",
        "syneg.generate.mined:judge",
        version=2,
        reads=_TEXTS | {"candidates": "mine.candidates"},
        writes=("judgements",),
        sections=("generate", "judge", "judge_mined"),
        resumes_by_row=True,
        pool="generate",
    ),
    Stage(
        "gate_mined",
        "syneg.generate.mined:gate",
        version=1,
        reads={"candidates": "mine.candidates", "judgements": "judge_mined.judgements"},
        writes=("candidates",),
        sections=("gate", "judge_mined"),
        on_ray=False,
    ),
    Stage(
        "mix",
        "syneg.mix.stage:run",
        version=8,
        reads=_CORPUS
        | {"synthetic": "gate.synthetic", "candidates": "gate_mined.candidates", "positives": "mine.positives"},
        writes=("instances",),
        sections=("mine", "mix"),
        pool="mix",
    ),
    Stage(
        "probe",
        "syneg.mix.probing:run",
        version=2,
        reads={"instances": "mix.instances", "passage_vectors": "embed.passage_vectors"},
        sections=("encoder", "probe"),
        pool="encode",
        one_worker=True,
    ),
    Stage(
        "train",
        "syneg.train.stage:run",
        version=6,
        # Corpus and base vectors are for looking at the dev split while training.
        reads=_CORPUS
        | {
            "instances": "mix.instances",
            "passage_vectors": "embed.passage_vectors",
            "query_vectors": "embed.query_vectors",
        },
        writes=("metrics", "similarities"),
        folders=("model",),
        sections=("encoder", "train"),
        pool="train",
    ),
    Stage(
        "embed_tuned",
        "syneg.encoder.stage:run",
        version=2,
        reads=_TEXTS | {"model": "train.model"},
        writes=("passage_vectors", "query_vectors"),
        sections=("encoder",),
        resumes_by_row=True,
        pool="encode",
    ),
    Stage(
        "evaluate",
        "syneg.evaluate.stage:run",
        version=4,
        reads=_CORPUS
        | {
            "passage_vectors": "embed.passage_vectors",
            "query_vectors": "embed.query_vectors",
            "tuned_passage_vectors": "embed_tuned.passage_vectors",
            "tuned_query_vectors": "embed_tuned.query_vectors",
            "adore_query_vectors": "adore.query_vectors",
            "instances": "mix.instances",
        },
        writes=("runs", "scores", "leaks"),
        sections=("bm25", "evaluate"),
        on_ray=False,
    ),
    Stage(
        "report",
        "syneg.report.stage:run",
        version=5,
        reads={
            **_CORPUS,
            "synthetic": "gate.synthetic",
            "candidates": "gate_mined.candidates",
            "instances": "mix.instances",
            "metrics": "train.metrics",
            "similarities": "train.similarities",
            "scores": "evaluate.scores",
            "runs": "evaluate.runs",
        },
        folders=("content",),
        on_ray=False,
    ),
)
"""All stages of a run in which mining and training happen once; some are asked for by a setting (`graph.stages`)."""

SCORE = Stage(
    "score",
    "syneg.evaluate.stage:score",
    version=2,
    reads=_CORPUS | {"passage_vectors": "embed.passage_vectors", "query_vectors": "embed.query_vectors"},
    writes=("runs", "scores"),
    sections=("evaluate",),
    on_ray=False,
)
SCORE_BM25 = Stage(
    "score_bm25",
    "syneg.evaluate.stage:score_bm25",
    version=2,
    reads=_CORPUS,
    writes=("runs", "scores"),
    sections=("bm25", "evaluate"),
    on_ray=False,
)
