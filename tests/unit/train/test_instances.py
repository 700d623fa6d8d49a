from pathlib import Path

import numpy as np
import pyarrow as pa

from syneg import schemas
from syneg.train import instances
from syneg.train.batches import text_key
from syneg.train.instances import Instances
from tests.unit.train.instances import instance_table

PLACE = schemas.INSTANCES.get_field_index("reject_reason")
NONE = np.empty((0, 2), np.int64)


def test_rows_come_from_every_block() -> None:
    table = instances.with_keys(instance_table(20))
    blocks = pa.concat_tables([table.slice(0, 3), table.slice(3, 0), table.slice(3, 10), table.slice(13)])
    found = Instances(blocks.to_batches(), NONE)

    assert len(found) == 20
    assert found.widest == 4
    wanted = np.array([19, 0, 2, 3, 12, 13])
    assert [row["query_id"] for row in found.rows(wanted)] == [f"q{number}" for number in wanted]
    assert len(Instances.of(instance_table(20).slice(0, 0))) == 0


def test_what_is_written_is_mapped_again_without_rejected_rows(tmp_path: Path) -> None:
    table = instance_table(2_500)
    reasons = pa.array(["empty_positive" if row in (0, 1_700) else None for row in range(2_500)], pa.string())
    rejecting = table.set_column(PLACE, schemas.INSTANCES.field("reject_reason"), reasons)
    written = instances.write([rejecting.slice(0, 900), rejecting.slice(900, 0), rejecting.slice(900)], tmp_path)
    found = Instances.open(tmp_path)

    assert (written.rows, written.sources) == (2_498, ("bm25", "synthetic"))
    assert len(found) == 2_498
    first, last = found.rows(np.array([0, 2_497]))
    assert (first["query_id"], last["query_id"]) == ("q1", "q2499")
    assert first["query_key"] == text_key(first["query"])
    assert last["negative_keys"] == [text_key(negative["text"]) for negative in last["negatives"]]
    known = found.known_positives()
    assert len(known.queries) == 2_500
    assert (np.diff(known.queries) >= 0).all()


def test_a_positive_whose_instance_was_rejected_still_answers_its_query(tmp_path: Path) -> None:
    """(q0, p0) is rejected while (q0, p1) and (q2, p0) are kept: in a batch p0 is no negative of q0."""
    rows = instance_table(5, negatives=(1,)).to_pylist()
    rows[0]["reject_reason"], rows[3]["reject_reason"], rows[3]["positive"] = "too_few_synthetic", "empty_positive", " "
    rows[1] |= {"query_id": "q0", "query": rows[0]["query"]}
    rows[2] |= {"positive_id": "p0", "positive": rows[0]["positive"]}
    table = pa.Table.from_pylist(rows, schema=schemas.INSTANCES)
    instances.write([table.slice(0, 1), table.slice(1)], tmp_path)
    pairs = {(text_key(row["query"]), text_key(row["positive"])) for row in rows if row["positive"] != " "}
    for found in (Instances.open(tmp_path), Instances.of(table)):
        known = found.known_positives()
        assert len(found) == 3
        assert set(zip(known.queries.tolist(), known.positives.tolist(), strict=True)) == pairs


def test_nothing_is_written_of_nothing(tmp_path: Path) -> None:
    assert instances.write([instance_table(1).slice(0, 0)], tmp_path).rows == 0
    assert len(Instances.open(tmp_path)) == 0


def test_a_passage_with_the_id_of_a_query_is_known_though_its_title_makes_it_another_text() -> None:
    table = instance_table(5)
    negatives = table["negatives"].to_pylist()
    negatives[3][0] |= {"id": "q1", "text": "Title. The text of query 1"}
    positives = table["positive_id"].to_pylist()
    positives[4] = "q0"
    for name, values in (("negatives", negatives), ("positive_id", positives)):
        field = schemas.INSTANCES.field(name)
        table = table.set_column(schemas.INSTANCES.get_field_index(name), field, pa.array(values, field.type))
    blocks = instances.with_keys(pa.concat_tables([table.slice(0, 2), table.slice(2), table])).to_batches()
    known = Instances(blocks, NONE).known_positives()

    queries, positive = ([text_key(text) for text in table[name].to_pylist()] for name in ("query", "positive"))
    answered = zip(queries, positive, strict=True)
    own = {(queries[1], text_key("Title. The text of query 1")), (queries[0], positive[4])}
    assert set(zip(known.queries.tolist(), known.positives.tolist(), strict=True)) == {*answered} | own
    assert len(known.queries) == 2 * 5 + len(own)
