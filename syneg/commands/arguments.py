"""Arguments that several commands share."""

from typing import Annotated

import typer

ConfigFile = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, e.g. configs/demo.yaml.")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[section.key=value]...", help="Settings that go over the file's.")
]
