"""Where things are kept."""

from syneg.settings.section import Section


class StoreConfig(Section):
    """Where everything is kept."""

    root: str = "out"
