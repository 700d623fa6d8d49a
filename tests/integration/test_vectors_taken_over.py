"""A collection that grows: what was encoded for one run is not encoded for the next."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syneg.config.run import RunConfig
from syneg.pipeline import pipeline
from syneg.stage import Stage
from syneg.store.manifest import Manifest
from tests.tiny_bert import tiny_bert

TEXTS = {f"p{number}": f"passage {number} has a text" for number in range(40)}


class Silent:
    def started(self, stage: Stage) -> None: ...

    def progressed(self, stage: Stage, message: str) -> None: ...

    def finished(self, stage: Stage, result: Manifest, reused: bool) -> None: ...


def collection(folder: Path, texts: dict[str, str], queries: list[str]) -> str:
    """BEIR, with one relevant passage a query."""
    (folder / "qrels").mkdir(parents=True)
    passages = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in texts.items()]
    (folder / "corpus.jsonl").write_text("\n".join(passages))
    asked = [json.dumps({"_id": name, "text": f"what is {name}"}) for name in queries]
    (folder / "queries.jsonl").write_text("\n".join(asked))
    judged = [f"{query}\t{passage}\t1" for query, passage in zip(queries, texts, strict=False)]
    for split, rows in (("train", judged[1:]), ("test", judged[:1])):
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return str(folder)


def embedded(root: Path, path: str, model: Path, **encoder: Any) -> tuple[Manifest, dict[str, dict[str, np.ndarray]]]:
    """The embed stage's record, and its vectors by table and id."""
    config = RunConfig.model_validate(
        {
            "name": "grows",
            "corpus": {"source": "beir", "path": path},
            "encoder": {"model": str(model), "query_max_length": 16, "passage_max_length": 32, **encoder},
            "mix": {"strategy": "retrieved_only"},
            "store": {"root": str(root)},
            "resources": {"cpus": 2, "encode": {"cpus": 2, "batch_rows": 8}},
        }
    )
    finished = pipeline.run(config, Silent(), last="embed")
    vectors = {}
    for table in ("passage_vectors", "query_vectors"):
        rows = finished.table("embed", table).table()
        found = [np.frombuffer(vector, "<f2") for vector in rows["vector"].to_pylist()]
        vectors[table] = dict(zip(rows["id"].to_pylist(), found, strict=True))
    return finished.manifests["embed"], vectors


@pytest.mark.usefixtures("ray_session")
def test_only_what_is_new_is_encoded(tmp_path: Path) -> None:
    model = tiny_bert(tmp_path / "model")
    root, queries = tmp_path / "root", ["q0", "q1", "q2"]
    first = collection(tmp_path / "first", TEXTS, queries)
    grown = TEXTS | {"p3": "another text than before", "new": "a passage that was added"}
    second = collection(tmp_path / "second", grown, [*queries, "q3"])

    made, before = embedded(root, first, model)
    assert made.facts["vectors_taken_over"] == {"passage_vectors": 0, "query_vectors": 0}
    made, after = embedded(root, second, model)
    assert made.facts["vectors_taken_over"] == {"passage_vectors": 39, "query_vectors": 3}
    assert made.rows_in == made.rows_out == 41 + 4
    assert set(after["passage_vectors"]) == set(grown)
    assert not np.array_equal(after["passage_vectors"]["p3"], before["passage_vectors"]["p3"])
    _, fresh = embedded(tmp_path / "another root", second, model)
    for table, vectors in fresh.items():
        for name, vector in vectors.items():
            np.testing.assert_allclose(after[table][name], vector, atol=1e-3, err_msg=name)

    # Fewer queries, fewer passages: nothing is left to encode.
    third = collection(tmp_path / "third", {name: grown[name] for name in ("p0", "p1", "new")}, queries[:2])
    made, _ = embedded(root, third, model)
    assert made.facts["vectors_taken_over"] == {"passage_vectors": 3, "query_vectors": 2}
    assert made.facts["dimensions"] is None

    # Neither another recipe nor another model meets these vectors.
    made, _ = embedded(root, third, model, passage_prompt="text: ")
    assert made.facts["vectors_taken_over"] == {"passage_vectors": 0, "query_vectors": 0}
    made, _ = embedded(root, third, tiny_bert(tmp_path / "other", pooling="cls"))
    assert made.facts["vectors_taken_over"] == {"passage_vectors": 0, "query_vectors": 0}
