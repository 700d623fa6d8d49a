"""The three sentences, and what is added to them."""

import pytest

from syneg.report import verdict


def facts(difference: float, low: float, high: float, p: float, **more: dict) -> dict:
    found = {"difference": difference, "low": low, "high": high, "p": p, "queries": 200}
    return {
        "measures": ["nDCG@10", *more.get("measures", ())],
        "scores": {"base": {"nDCG@10": 0.6}, "tuned": {"nDCG@10": 0.6 + difference}, **more.get("scores", {})},
        "differences": {"nDCG@10": found, **more.get("differences", {})},
    }


def test_better() -> None:
    found = verdict.of_run(facts(0.031, 0.012, 0.05, 0.002))
    assert found.kind == "better"
    expected = "Tuned is better than base by 3.1 nDCG@10 points (95 % 1.2 to 5.0, p = 0.002, 200 queries, one seed)."
    assert found.sentence == expected
    assert len(found.caveats) == 1


def test_worse() -> None:
    found = verdict.of_run(facts(-0.02, -0.035, -0.005, 0.0001))
    assert found.kind == "worse"
    assert found.sentence == (
        "Tuned is worse than base by 2.0 nDCG@10 points (95 % 0.5 to 3.5, p < 0.001, 200 queries, one seed): "
        "keep the base model."
    )


def test_unclear_names_the_width() -> None:
    found = verdict.of_run(facts(0.004, -0.012, 0.02, 0.61))
    assert found.kind == "unclear"
    assert found.sentence == (
        "No difference can be shown: tuned minus base is 0.4 nDCG@10 points (95 % \N{MINUS SIGN}1.2 to 2.0, p = 0.610, "
        "200 queries, one seed). These queries measure it to within ±1.6 points: keep the base model."
    )


@pytest.mark.parametrize(("low", "high", "p"), [(0.001, 0.05, 0.06), (-0.001, 0.05, 0.04), (0, 0, 1)])
def test_test_and_interval_must_agree(low: float, high: float, p: float) -> None:
    assert verdict.of_run(facts(0.02, low, high, p)).kind == "unclear"


def test_bm25_ahead_is_said() -> None:
    found = verdict.of_run(facts(0.031, 0.012, 0.05, 0.002, scores={"bm25": {"nDCG@10": 0.672}}))
    assert found.caveats[0] == "BM25 beats both here, by 4.1 nDCG@10 points over the better one."


def test_another_measure_that_went_the_other_way_is_said() -> None:
    fell = {"difference": -0.02, "low": -0.03, "high": -0.01, "p": 0.001, "queries": 200}
    found = verdict.of_run(facts(0.031, 0.012, 0.05, 0.002, differences={"MAP": fell}))
    assert "MAP fell by 2.0 points." in found.caveats


def test_test_queries_that_were_trained_on_are_said() -> None:
    leaks = {"test_query": {"query": 20, "positive": 3}, "test_positive": {"positive": 7}}
    found = verdict.of_run(facts(0.031, 0.012, 0.05, 0.002) | {"leaks": leaks})
    assert found.caveats[0].startswith("The tuned model trained on 20 test queries or nearly the same: scores may")
    only_positives = verdict.of_run(facts(0.031, 0.012, 0.05, 0.002) | {"leaks": {"test_positive": {"positive": 7}}})
    assert not any("trained on" in caveat for caveat in only_positives.caveats)


def test_shortcuts_come_last() -> None:
    found = verdict.of_run(facts(0.031, 0.012, 0.05, 0.002), ["told by their length"])
    assert found.caveats[1:] == ("told by their length",)


def test_one_query_is_one_query() -> None:
    given = facts(0.0, 0.0, 0.0, 1.0)
    given["differences"]["nDCG@10"]["queries"] = 1
    assert "1 query, one seed" in verdict.of_run(given).sentence


@pytest.mark.parametrize(("queries", "p"), [(1, 1.0), (5, 0.0625)])
def test_of_too_few_queries_no_interval_is_told(queries: int, p: float) -> None:
    given = facts(0.5, 0.5, 0.5, p)
    given["differences"]["nDCG@10"] |= {"queries": queries, "detectable": 0.0}
    found = verdict.of_run(given)
    assert found.kind == "unclear"
    assert found.sentence.startswith("Too few queries to measure it: tuned minus base is 50.0 nDCG@10 points (")
    assert "the test needs 6 or more: keep the base model." in found.sentence
    assert "95 %" not in found.sentence
    assert "the test needs 6 queries or more" in verdict.power(given)


def test_a_width_of_nothing_is_not_told() -> None:
    found = verdict.of_run(facts(0.0, -1e-17, 1e-17, 1.0))
    assert "±" not in found.sentence
    assert found.sentence.endswith("200 queries, one seed): keep the base model.")
