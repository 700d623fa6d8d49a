"""Arguments that several commands share."""

from typing import Annotated

import typer

ConfigFile = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, e.g. configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[section.key=value]...", help="Settings that go over the file's.")
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run's folder, e.g. out/runs/demo, or its name, or an earlier one's run-DIGEST.json."
    ),
]
Root = Annotated[str, typer.Option("--root", metavar="FOLDER", help="Where runs lie by their names (store.root).")]
