"""Every arm and seed of an experiment trained and scored on one CUDA device, from exported instances, without Ray.

    syneg experiment configs/experiments/scifact-recorded.yaml --export arms    # anywhere: instances, texts, model
    python benchmarks/arms_cuda.py arms                                         # on a bare machine with a GPU
    syneg experiment configs/experiments/scifact-recorded.yaml --scores arms name=scifact-cuda    # verdict and page

Needs torch, transformers, sentence-transformers, pyarrow and numpy. Training is syneg's own step with the order and the
dropout of `syneg run`; scores are of the whole corpus, by our plain definitions of the measures. An arm and seed that
is done is not trained again. Prints a line for each, then the table as JSON; without CUDA it says so and ends well,
unless `--device cpu` is given.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # syneg, where it is not installed

from syneg.encoder.encoder import Encoder
from syneg.encoder.recipe import Kind, Recipe
from syneg.passages import texts_of
from syneg.train import trainable
from syneg.train.batches import Order
from syneg.train.gradient_cache import PlainTrainee
from syneg.train.instances import Instances
from syneg.train.learning_rate import learning_rate
from syneg.train.peers import Peers
from syneg.train.step import Step

_CELLS = 1 << 26  # query-passage scores held at once
_PROMPTS_AND_LENGTHS = ("query_prompt", "passage_prompt", "query_max_length", "passage_max_length")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="what `syneg experiment CONFIG --export FOLDER` wrote")
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    if given.folder is None or (given.device == "cuda" and not torch.cuda.is_available()):
        why = "no folder of exported arms" if given.folder is None else "no CUDA device"
        print(json.dumps({"name": "arms_cuda", "skipped": why}))
        return
    torch.set_float32_matmul_precision("high")
    plan = json.loads((given.folder / "arms.json").read_text(encoding="utf-8"))
    began = time.monotonic()
    table: dict[str, dict[str, dict[str, float]]] = {}
    for name, arm in plan["arms"].items():
        if arm["base"] not in table:
            table[arm["base"]] = {"untrained": _base(given.folder, plan, arm, given.device)}
        table[name] = {str(seed): _arm(given.folder, plan, name, seed, given.device) for seed in plan["seeds"]}
    result = {"name": "arms_cuda", "device": _called(given.device), "scores": table}
    print(json.dumps(result | {"seconds": round(time.monotonic() - began, 1)}))


def _base(folder: Path, plan: Mapping[str, Any], arm: Mapping[str, Any], device: str) -> dict[str, float]:
    """Means of the model that an arm starts from."""
    target = folder / "scores" / f"{arm['base']}.parquet"
    if not target.exists():
        _put(target, scored(folder, plan, _encoder(folder, arm, device)), arm["base"])
    return _means(target, plan["measures"], f"{arm['base']}, not trained")


def _arm(folder: Path, plan: Mapping[str, Any], name: str, seed: int, device: str) -> dict[str, float]:
    """Means of one arm under one seed. Its scores are put last, so that they stand for the whole."""
    target = folder / "scores" / f"{name}-{seed}.parquet"
    if not target.exists():
        began, arm = time.monotonic(), plan["arms"][name]
        encoder = _encoder(folder, arm, device)
        table = pq.read_table(folder / "instances" / f"{name}-{seed}.parquet")
        steps = train(encoder, table, _settings(arm["train"] | {"seed": seed}))
        trained = time.monotonic()
        scores = scored(folder, plan, encoder)
        seconds = {"train": trained - began, "embed_tuned": time.monotonic() - trained}
        notes = {"steps": steps, "seconds": seconds, "device": _called(device)}
        target.parent.mkdir(exist_ok=True)
        target.with_suffix(".json").write_text(json.dumps(notes), encoding="utf-8")
        _put(target, scores, name)
    return _means(target, plan["measures"], f"{name}, seed {seed}")


def train(encoder: Encoder, table: pa.Table, settings: Any) -> list[dict[str, float]]:
    """The steps of syneg's training in this process: loss and gradient norm of each. `encoder` is trained in place."""
    trainable.prepare(encoder, settings)
    encoder.train()
    instances = Instances.of(table)
    trainee = PlainTrainee(encoder)
    step = Step(encoder, trainee, instances, settings, Peers(), instances.known_positives())
    order = Order(len(instances), settings.batch_size, settings.seed)
    optimizer = trainable.adamw(encoder, settings)
    steps, journal = order.steps_per_epoch * settings.epochs, []
    for number in range(steps):
        (state,) = np.random.SeedSequence([settings.seed, number, 0]).generate_state(1, np.uint64)
        torch.manual_seed(int(state))
        prepared = step.prepare(order.rows(number))
        losses_Q = torch.cat([part.contrasted.losses_Q for part in step.backward(prepared)])
        norm = torch.nn.utils.clip_grad_norm_(encoder.parameters(), settings.gradient_clipping)
        rate = learning_rate(number, steps, settings.learning_rate, settings.warmup_ratio)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        optimizer.step()
        optimizer.zero_grad()
        journal.append({"loss": float(losses_Q.mean()), "gradient_norm": float(norm)})
    if settings.lora is not None:
        trainable.fold_adapters(encoder)
    return journal


def scored(folder: Path, plan: Mapping[str, Any], encoder: Encoder) -> pa.Table:
    """Columns measure, query_id, value: every test query against every passage, vectors rounded as in the store."""
    passages, queries = pq.read_table(folder / "passages.parquet"), pq.read_table(folder / "queries.parquet")
    texts = texts_of(passages)
    passages_PD = _vectors(encoder, texts, "passage")
    queries_QD = _vectors(encoder, queries["text"].to_pylist(), "query")
    gains: dict[str, dict[str, int]] = {}
    for row in pq.read_table(folder / "qrels.parquet").to_pylist():
        gains.setdefault(row["query_id"], {})[row["passage_id"]] = row["relevance"]
    kept, ids = min(plan["depth"] + 1, len(texts)), passages["passage_id"].to_pylist()
    asked, rows = queries["query_id"].to_pylist(), []
    for start in range(0, len(asked), block := max(1, _CELLS // len(texts))):
        best_BK = torch.topk(queries_QD[start : start + block] @ passages_PD.T, kept).indices.cpu().tolist()
        for query, found in zip(asked[start : start + block], best_BK, strict=True):
            ranked = [ids[place] for place in found if ids[place] != query][: plan["depth"]]
            for measure in plan["measures"]:
                value = score(
                    measure, [gains[query].get(passage, 0) for passage in ranked], list(gains[query].values())
                )
                rows.append({"measure": measure, "query_id": query, "value": value})
    return pa.Table.from_pylist(rows)


def score(measure: str, ranked: Sequence[int], judged: Sequence[int]) -> float:
    """One query's score in [0, 1] by a measure of `evaluate.measures`, as trec_eval defines it.

    `ranked`: the judgement of each passage in the order of the ranking, 0 where there is none; `judged`: all of them.
    """
    family, _, cutoff = measure.partition("@")
    relevant = [place for place, gain in enumerate(ranked[: int(cutoff)] if cutoff else ranked, start=1) if gain > 0]
    if family == "MRR":
        return 1 / relevant[0] if relevant else 0.0
    count = sum(gain > 0 for gain in judged)
    if family == "Recall":
        return len(relevant) / count
    if family == "MAP":
        return sum(number / place for number, place in enumerate(relevant, start=1)) / count
    ideal = sorted(judged, reverse=True)
    return _discounted(ranked[: int(cutoff)]) / _discounted(ideal[: int(cutoff)])


def _discounted(gains: Sequence[int]) -> float:
    return sum(max(gain, 0) / np.log2(place + 1) for place, gain in enumerate(gains, start=1))


def _vectors(encoder: Encoder, texts: list[str], kind: Kind) -> torch.Tensor:
    rounded = encoder.encode(texts, kind).astype(np.float16).astype(np.float32)
    return torch.from_numpy(rounded).to(encoder.device)


def _encoder(folder: Path, arm: Mapping[str, Any], device: str) -> Encoder:
    recipe = Recipe(*(arm["encoder"][name] for name in _PROMPTS_AND_LENGTHS), pooling=arm["encoder"].get("pooling"))
    return Encoder.load(folder / "models" / arm["model"], recipe, device, arm["encoder"]["trust_remote_code"])


def _settings(values: dict[str, Any]) -> Any:
    """What the training core reads of the config, whose library is not needed here."""
    return json.loads(json.dumps(values), object_hook=lambda section: SimpleNamespace(**section))


def _means(path: Path, measures: Sequence[str], called: str) -> dict[str, float]:
    scores = pq.read_table(path)
    names, values = np.array(scores["measure"].to_pylist()), scores["value"].to_numpy()
    means = {measure: round(float(values[names == measure].mean()), 4) for measure in measures}
    print(f"{called}: " + ", ".join(f"{measure} {mean:.4f}" for measure, mean in means.items()), flush=True)
    return means


def _put(target: Path, scores: pa.Table, system: str) -> None:
    target.parent.mkdir(exist_ok=True)
    table = scores.append_column("system", pa.array([system] * scores.num_rows))
    half_written = target.with_suffix(".half")
    pq.write_table(table, half_written)
    half_written.rename(target)


def _called(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


if __name__ == "__main__":
    main()
