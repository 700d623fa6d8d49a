import pyarrow as pa

from syneg import schemas
from syneg.train.journal import Journal


def _metrics(step: int, loss: float) -> dict[str, float]:
    return {
        "step": step,
        "epoch": 0.5,
        "loss": loss,
        "learning_rate": 1e-5,
        "gradient_norm": 1.0,
        "queries_per_second": 9.0,
    }


def _similarity(step: int, query_id: str) -> pa.Table:
    row = {"step": step, "query_id": query_id, "positive_id": "p", "text_id": "p", "source": "positive", "score": 0.5}
    return pa.Table.from_pylist([row], schemas.SIMILARITIES)


def test_a_step_that_is_trained_again_replaces_itself() -> None:
    journal = Journal()
    for step, loss in [(1, 0.4), (0, 0.5), (1, 0.3)]:
        journal.metrics(_metrics(step, loss), f"step {step}")
    for step, rank, query_id in [(1, 1, "c"), (1, 0, "b"), (0, 0, "a"), (1, 1, "d")]:
        journal.similarities(step, rank, _similarity(step, query_id))
    tables = journal.tables()

    assert tables["metrics"]["step"].to_pylist() == [0, 1]
    assert tables["metrics"].schema == schemas.METRICS
    assert abs(tables["metrics"]["loss"][1].as_py() - 0.3) < 1e-6
    assert tables["similarities"]["query_id"].to_pylist() == ["a", "b", "d"]
    assert journal.line() == "step 1"


def test_an_empty_journal_has_empty_tables() -> None:
    tables = Journal().tables()
    assert tables["metrics"].schema == schemas.METRICS
    assert tables["similarities"].schema == schemas.SIMILARITIES


def test_it_goes_back_to_what_was_recorded() -> None:
    journal = Journal()
    for step in range(4):
        journal.metrics(_metrics(step, 0.1), "")
        journal.similarities(step, 1, _similarity(step, "stale"))
    recorded = {"metrics": _recorded(0, 1), "similarities": _similarity(1, "kept")}
    journal.rewind(recorded)
    journal.metrics(_metrics(2, 0.2), "")
    journal.similarities(2, 0, _similarity(2, "new"))
    tables = journal.tables()
    assert tables["metrics"]["step"].to_pylist() == [0, 1, 2]
    assert tables["similarities"]["query_id"].to_pylist() == ["kept", "new"]
    since = journal.tables(2)
    assert (since["metrics"]["step"].to_pylist(), since["similarities"]["query_id"].to_pylist()) == ([2], ["new"])
    assert [row["step"] for row in journal.rows_since(1)] == [1, 2]


def _recorded(*steps: int) -> pa.Table:
    return pa.Table.from_pylist([_metrics(step, 0.5) for step in steps], schemas.METRICS)
