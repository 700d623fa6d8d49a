"""Models on collections, without training: what `syneg evaluate` asks for, and the runs of its stages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from syneg.cluster import session
from syneg.config.run import RunConfig
from syneg.corpus import sources
from syneg.encoder import recipe
from syneg.errors import BadInput
from syneg.pipeline import graph, pipeline
from syneg.pipeline.pipeline import Graph, Listener
from syneg.pipeline.run import Run
from syneg.store import digests, files, layout, manifest, models
from syneg.store.manifest import Manifest

BASE, BM25 = "base", "bm25"


@dataclass(frozen=True)
class ModelOnCollection:
    """One model on one collection, both by their names. BM25 is asked along with the base model."""

    collection: str
    model: str
    config: RunConfig
    graph: Graph


Watched = Callable[[str], AbstractContextManager[Listener]]
"""Who hears of one part of the work, by its title."""


def plan(config: RunConfig, folders: Sequence[str], collections: Sequence[str]) -> list[ModelOnCollection]:
    """The config's own encoder and those in `folders`, on each of `collections`.

    Collections are BEIR folders, read under the limits and by the splits of the config; none: the config's own. Names
    are the ends of the paths. Starts and writes nothing.

    Raises:
        BadInput: a model or a collection is not there, lacks a part, or is given twice.
    """
    named = _named("--model", folders, taken=(BASE, BM25))
    places = {
        name: sources.to_evaluate_on(config.corpus, path) for name, path in _named("--corpus", collections).items()
    }
    encoders = {name: recipe.for_model(config.encoder, folder) for name, folder in named.items()}
    asked: list[ModelOnCollection] = []
    base = recipe.resolved(config.encoder)
    for collection, corpus in (places or {_own_name(config): config.corpus}).items():
        own = config.model_copy(update={"corpus": corpus, "encoder": base})
        asked.append(ModelOnCollection(collection, BASE, own, Graph(graph.to_score(bm25=config.evaluate.bm25))))
        for name, encoder in encoders.items():
            other = own.model_copy(update={"encoder": encoder})
            given = _vectors_of_run(own, other)
            asked.append(ModelOnCollection(collection, name, other, Graph(graph.to_score(bm25=False), given)))
    for each in asked:
        pipeline.plan(each.config, graph=each.graph)  # looks at every file that is named
    return asked


def run(asked: Sequence[ModelOnCollection], watched: Watched) -> list[Run]:
    """What was found for each of `asked`. What is stored already is not made again.

    Every collection is read and checked before a model is loaded.

    Raises:
        BadInput: something is wrong within a collection.
        StageFailed: a stage ended without a result.
    """
    resources, storage = asked[0].config.resources, asked[0].config.storage
    for each in asked:
        if each.model == BASE:
            with watched(each.collection) as listener:
                pipeline.run(each.config, listener, last="corpus", graph=each.graph)
    steps = [step for each in asked for step in pipeline.plan(each.config, graph=each.graph)]
    needs_ray = any(step.stage.on_ray and not step.done for step in steps)
    found = []
    with session.joined(resources, storage) if needs_ray else nullcontext():
        for number, each in enumerate(asked, start=1):
            with watched(f"[{number}/{len(asked)}] {each.collection}, {each.model}") as listener:
                found.append(pipeline.run(each.config, listener, graph=each.graph))
    return found


def _named(option: str, addresses: Sequence[str], taken: Sequence[str] = ()) -> dict[str, str]:
    """Addresses by the shortest ends of their paths that tell them apart, as a file may be called."""
    paths = [address if ":" in address else str(Path(address).expanduser().resolve()) for address in addresses]
    if repeated := [address for number, address in enumerate(addresses) if paths[number] in paths[:number]]:
        raise BadInput(f"{option} {repeated[0]} is given twice.")
    parts = [[part for part in path.replace(":", "/").split("/") if part] for path in paths]
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = ["-".join(each[-length:]) for each in parts]
        if len({*names, *taken}) == len(names) + len(taken):
            return dict(zip(names, addresses, strict=True))
    if addresses:
        raise BadInput(f"{option}: {', '.join(addresses)} cannot be told apart by their paths. Rename one.")
    return {}


def _own_name(config: RunConfig) -> str:
    corpus = config.corpus
    return next(iter(_named("corpus.path", [corpus.path]))) if corpus.path else corpus.source


def _vectors_of_run(own: RunConfig, other: RunConfig) -> Mapping[str, Manifest]:
    """By "embed", the vectors that a run under this root made of the same collection with the model of `other`, which
    it trained from the encoder of `own`. Such a model is known by its files, wherever the folder lies."""
    # A trained model's folder states the pooling that the base's may need to be told.
    ours, theirs = (replace(recipe.Recipe.of(config.encoder), pooling=None) for config in (own, other))
    if ours != theirs:
        return {}
    wanted = models.digest(other.encoder.model)
    for trained in _trainings(own.store.root):
        parts = sorted((part.name, part.sha256) for part in trained.folders["model"] if part.name != models.CARD)
        if digests.of_parts(parts) == wanted:
            embedded = Graph(graph.named("corpus", "train", "embed_tuned"), {"train": trained})
            if found := pipeline.look(own, graph=embedded)[-1].manifest:
                return {"embed": found}
    return {}


def _trainings(root: str) -> Iterator[Manifest]:
    for name, _ in files.files_below(files.join(root, "train")):
        fingerprint, _, inside = name.partition("/")
        if inside == layout.MANIFEST and (trained := manifest.load(root, "train", fingerprint)):
            yield trained
