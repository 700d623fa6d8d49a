"""A run, whole or not: what is done of it, and what its stages wrote."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from syneg.config.run import RunConfig
from syneg.encoder.recipe import resolved
from syneg.errors import BadInput
from syneg.pipeline.graph import names
from syneg.settings.encoder import EncoderConfig
from syneg.stage import NoRows, Source
from syneg.store import manifest
from syneg.store.manifest import Manifest


@dataclass(frozen=True)
class Run:
    """A run and what of it is done: the manifest of each finished stage, in the order of the graph, and the names of
    those that were not run again."""

    config: RunConfig
    manifests: Mapping[str, Manifest]
    reused: frozenset[str] = field(default_factory=frozenset)

    @property
    def encoder(self) -> EncoderConfig:
        """The config's, with the prompts that its stages took: the model's own folder may be gone by now.

        Raises:
            BadInput: no stage that took them is done, and the model's folder is not there.
        """
        for made in self.manifests.values():
            if taken := made.settings.get("encoder"):
                prompts = {name: taken[name] for name in ("query_prompt", "passage_prompt")}
                return self.config.encoder.model_copy(update=prompts)
        return resolved(self.config.encoder)

    def folder(self, stage: str, name: str) -> str:
        """The path of a folder that a stage wrote."""
        made = self.manifests[stage]
        return manifest.place(self.config.store.root, made, name)

    def table(self, stage: str, name: str) -> Source:
        """A table that a stage wrote; without a row where the run has no such stage."""
        from syneg import schemas
        from syneg.store import tables

        if stage not in self.manifests:
            return NoRows(getattr(schemas, name.upper()))
        return tables.StoredTable(self.folder(stage, name), tuple(self.manifests[stage].tables[name]))

    @property
    def undone(self) -> list[str]:
        """The stages that the run still lacks: it was asked to end before them, it failed, or it was stopped."""
        return [stage for stage in names(self.config) if stage not in self.manifests]

    def standing(self, called: str = "This run") -> str:
        """One sentence on what the run lacks; empty where it lacks nothing."""
        lacking = self.undone
        return f"{called} ends at {self._end}; not done: {', '.join(lacking)}." if lacking else ""

    def need(self, stage: str, asked_by: str) -> None:
        """Raises BadInput if the run has the stage in its graph and has not done it."""
        if stage in self.undone:
            raise BadInput(
                f"The run {self.config.name} ends at {self._end}; {asked_by} needs {stage}: run "
                f"`syneg run CONFIG --to {stage}`."
            )

    def newest(self, table: str) -> str | None:
        """The last finished stage that wrote a table of this name: of rounds the latest that came so far."""
        found = [name for name, made in self.manifests.items() if table in made.tables]
        return found[-1] if found else None

    @property
    def _end(self) -> str:
        return list(self.manifests)[-1]
