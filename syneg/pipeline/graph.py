"""The graph of a run: which stages it has, in which order, and who reads whose tables."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from syneg.config.run import RunConfig
from syneg.pipeline.stages import ONE_ROUND, SCORE, SCORE_BM25
from syneg.stage import Stage
from syneg.store import layout

_WRITING = ("generate", "judge", "gate")
_MINING = ("adore", "mine", "judge_mined", "gate_mined")
_REPEATED = ("mine", "judge_mined", "gate_mined", "mix", "probe", "train", "embed_tuned")
"""The stages of a round of ANCE: negatives of the model so far and their judge, instances and what they betray,
training, vectors of the model that comes out."""


def stages(config: RunConfig) -> tuple[Stage, ...]:
    """The stages of a run in an order in which every one comes after those it reads.

    `mine.rounds` = n unrolls the graph (ANCE, arXiv 2007.00808): round r mines with the vectors of the model that round
    r - 1 trained, and trains that model on. Stages of the rounds before the last have the round in their names
    (mine_1, ..., embed_tuned_1); those of the last are called as in a run of one round, so that whoever reads the model
    or its scores reads the last one's. ADORE starts from the base model in any number of rounds, and runs once.

    A mix that takes no synthetic negatives asks no LLM, one that takes no retrieved ones mines nothing.
    """
    made = list(_unrolled(config.mine.rounds))
    if _shows_mined(config):
        made = _written_after_mining(made)
    return tuple(_asked(made, config))


def candidates_of(config: RunConfig) -> str:
    """The stage whose candidates the mix of the last round takes."""
    return "gate_mined" if config.judge_mined.enabled else "mine"


def names(config: RunConfig) -> tuple[str, ...]:
    return tuple(stage.name for stage in stages(config))


def to_score(bm25: bool) -> tuple[Stage, ...]:
    """A model on a collection, without training: corpus and embed are a run's own, so what runs stored is used."""
    own = named("corpus", "embed")
    return (*own, SCORE, SCORE_BM25) if bm25 else (*own, SCORE)


def named(*names: str) -> tuple[Stage, ...]:
    """These stages, as they are in a run of one round."""
    return tuple(stage for stage in ONE_ROUND if stage.name in names)


def _unrolled(rounds: int) -> Iterator[Stage]:
    repeated = [stage for stage in ONE_ROUND if stage.name in _REPEATED]
    for stage in ONE_ROUND:
        if stage is repeated[0]:
            for number in range(1, rounds + 1):
                yield from (_of_round(each, number, rounds) for each in repeated)
        elif stage not in repeated:
            yield stage


def _written_after_mining(unrolled: Sequence[Stage]) -> list[Stage]:
    """Generation reads what was mined. Of rounds that is the first: the later ones train on what is written."""
    mine = next(stage for stage in unrolled if layout.kind(stage.name) == "mine")
    writing = [stage for stage in unrolled if stage.name in _WRITING]
    writing[0] = replace(writing[0], reads={**writing[0].reads, "candidates": f"{mine.name}.candidates"})
    others = [stage for stage in unrolled if stage.name not in _WRITING]
    place = others.index(mine) + 1
    return [*others[:place], *writing, *others[place:]]


def _shows_mined(config: RunConfig) -> bool:
    """Whether the LLM is shown a mined candidate as an example of style."""
    return config.generate.style_example and config.mix.takes_synthetic


def _left_out(config: RunConfig) -> set[str]:
    left_out = set[str]() if config.judge.enabled else {"judge"}
    if "query_side" not in config.mine.vectors:
        left_out.add("adore")
    if not config.judge_mined.enabled:
        left_out |= {"judge_mined", "gate_mined"}
    if not config.mix.takes_synthetic:
        left_out |= {*_WRITING}
    if not config.mix.takes_retrieved and not _shows_mined(config):
        left_out |= {*_MINING}
    return left_out


def _asked(unrolled: Iterable[Stage], config: RunConfig) -> Iterator[Stage]:
    """The stages that somebody asks for. Without the judge's gate, who would read its candidates reads mining's."""
    left_out = _left_out(config)
    for stage in unrolled:
        if layout.kind(stage.name) not in left_out:
            reads = dict(stage.reads)
            if "gate_mined" in left_out and "candidates" in reads:
                reads["candidates"] = reads["candidates"].replace("gate_mined", "mine")
            made = {name: address for name, address in reads.items() if _source(address) not in left_out}
            yield replace(stage, reads=made)


def _source(address: str) -> str:
    """The stage that makes the table "mine_1.candidates", without its round: "mine"."""
    return layout.kind(address.partition(".")[0])


def _of_round(stage: Stage, number: int, rounds: int) -> Stage:
    """`stage` as it is in one round: it reads its own round's tables and the model of the round before."""

    def named(name: str, of_round: int) -> str:
        return layout.of_round(name, of_round) if name in _REPEATED and of_round < rounds else name

    reads = dict(stage.reads)
    for name, address in stage.reads.items():
        source, _, output = address.partition(".")
        reads[name] = f"{named(source, number)}.{output}"
    if number > 1 and stage.name == "mine":
        trained = named("embed_tuned", number - 1)
        reads |= {f"tuned_{table}": f"{trained}.{table}" for table in ("passage_vectors", "query_vectors")}
    if number > 1 and stage.name == "train":
        reads["model"] = f"{named('train', number - 1)}.model"
    return replace(stage, name=named(stage.name, number), reads=reads)
