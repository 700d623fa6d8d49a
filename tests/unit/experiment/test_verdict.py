"""The sentence agrees with the numbers: what is planted is said, what is not there is not."""

from dataclasses import replace

import numpy as np
import pytest

from syneg.experiment.analysis import analyse
from syneg.experiment.results import Arm, Results
from syneg.experiment.verdict import Verdict, reach
from tests.unit.experiment import sample


def verdict(results: Results, rival: str | None = None) -> Verdict:
    return reach(results, analyse(results, rival, seed=0))


def twins(results: Results, name: str, of: str) -> Results:
    return replace(results, arms={**results.arms, name: replace(results.arms[of], name=name)})


def test_a_planted_gain_is_found_and_used() -> None:
    found = verdict(sample.results({"hybrid": 0.06}))
    assert (found.kind, found.use) == ("better", "hybrid")
    assert found.sentence.startswith("hybrid beats base by 6.")
    assert "300 queries, 3 seeds" in found.sentence
    assert found.sentence.endswith("use it.")


def test_the_arm_to_beat_is_beaten() -> None:
    found = verdict(sample.results({"retrieved_only": 0.03, "hybrid": 0.09}), "retrieved_only")
    assert found.use == "hybrid"
    assert found.sentence.startswith("hybrid beats retrieved_only by ")
    assert "Over base it gains" in found.sentence


def test_no_better_than_the_arm_to_beat_means_the_arm_to_beat() -> None:
    results = twins(sample.results({"retrieved_only": 0.06}), "hybrid", "retrieved_only")
    found = verdict(results, "retrieved_only")
    assert (found.kind, found.use) == ("better", "retrieved_only")


def test_of_the_arms_that_win_one_that_beats_the_arm_to_beat_goes_first() -> None:
    """`noisy` has the highest mean, but is not shown to be better than the arm to beat; `steady` is."""
    results = sample.results({"retrieved_only": 0.06, "steady": 0.06}, seeds=3, between_seeds=0.0)
    rival = results.arms["retrieved_only"].values["nDCG@10"]
    swing = np.where(np.arange(sample.QUERIES) % 2, 0.9, -0.82)
    values = {"steady": rival + 0.03, "noisy": rival + swing}
    arms = {name: replace(results.arms["steady"], name=name, values={"nDCG@10": of}) for name, of in values.items()}
    found = verdict(replace(results, measures=("nDCG@10",), arms={**results.arms, **arms}), "retrieved_only")
    assert found.use == "steady"
    assert found.sentence.startswith("steady beats retrieved_only by 3.0")


def test_a_higher_mean_of_another_model_is_said() -> None:
    results = sample.results({"small": 0.06})
    large = {name: values + 0.2 for name, values in results.arms["base"].values.items()}
    arms = {
        **results.arms,
        "base of large": Arm("base of large", large, None),
        "large": Arm("large", {name: np.repeat(values, 3, axis=0) for name, values in large.items()}, "base of large"),
    }
    found = verdict(replace(results, arms=arms))
    assert found.use == "small"
    assert any("base of large has the highest mean" in caveat for caveat in found.caveats)


def test_leaked_test_queries_are_said() -> None:
    results = sample.results({"hybrid": 0.06})
    leaks = {"test_query": {"query": 4}, "test_positive": {"dense": 9}}
    trainings = [sample.training("hybrid", seed, leaks=leaks) for seed in range(3)]
    leaky = replace(results.arms["hybrid"], trainings=trainings)
    arms = {**results.arms, "hybrid": leaky, "twin": replace(leaky, name="twin")}
    said = [caveat for caveat in verdict(replace(results, arms=arms)).caveats if "trained on" in caveat]
    assert len(said) == 1  # and not one for each arm
    assert said[0].startswith("hybrid, twin trained on 4 test queries or nearly the same: scores may be too high")
    assert not any("trained on" in caveat for caveat in verdict(results).caveats)


def test_identical_arms_are_never_called_different() -> None:
    for draw in range(20):
        results = twins(sample.results({"one": 0.02}, draw=draw), "two", "one")
        analysis = analyse(results, "one", seed=draw)
        assert not analysis.with_rival["two"].is_shown
        assert analysis.with_rival["two"].found.p == 1


def test_an_arm_that_is_its_base_changes_nothing() -> None:
    results = sample.results({})
    same = Arm("hybrid", {name: np.repeat(row, 3, axis=0) for name, row in results.arms["base"].values.items()}, "base")
    found = verdict(replace(results, arms={**results.arms, "hybrid": same}))
    assert (found.kind, found.use) == ("unclear", "base")
    assert "keep it" in found.sentence


def test_arms_without_a_true_gain_are_seldom_said_to_win() -> None:
    """Five arms, three seeds that differ from each other: the whole family errs in at most one experiment in 20."""
    wrong = [verdict(sample.results(dict.fromkeys("abcde", 0.0), draw=draw)).kind == "better" for draw in range(40)]
    assert sum(wrong) <= 4  # 1 expected at most; more than 4 comes about once in 1,000


def test_loss_says_keep_the_base() -> None:
    found = verdict(sample.results({"hybrid": -0.08, "direct": -0.1}))
    assert (found.kind, found.use) == ("worse", "base")
    assert "Every arm is worse than base" in found.sentence


def test_too_few_queries_are_called_inconclusive() -> None:
    results = sample.results({"hybrid": 0.02}, draw=3)
    few = {
        name: replace(arm, values={key: values[:, :25] for key, values in arm.values.items()})
        for name, arm in results.arms.items()
    }
    found = verdict(replace(results, queries=results.queries[:25], arms=few))
    assert found.kind == "unclear"
    assert "25 queries, 3 seeds show a gain reliably from about" in found.sentence
    assert found.sentence.endswith("keep base until more of them say otherwise.")


def test_power_is_told_before_and_shrinks_with_queries() -> None:
    results = sample.results({"hybrid": 0.06})
    found = verdict(results)
    assert "to be found four times out of five" in found.power


def test_unequal_cost_is_said() -> None:
    results = sample.results({"hybrid": 0.06, "in_batch": 0.06})
    cheap = replace(
        results.arms["in_batch"], trainings=[sample.training("in_batch", 0, negatives_per_instance=0.0, negatives={})]
    )
    found = verdict(replace(results, arms={**results.arms, "in_batch": cheap}))
    assert any("hard negatives an instance: hybrid 2, in_batch 0" in caveat for caveat in found.caveats)
    assert not any("did not cost the same" in caveat for caveat in verdict(results).caveats)


@pytest.mark.parametrize(("seeds", "word"), [(1, "One seed"), (2, "2 seeds say little")])
def test_few_seeds_are_said(seeds: int, word: str) -> None:
    assert any(word in caveat for caveat in verdict(sample.results({"hybrid": 0.06}, seeds=seeds)).caveats)
