"""A pass of a workflow with an option of its own: how large the files are that the pass before left."""

from graft.config import Settings, setting


class SizeConfig(Settings):
    """Options of ``Size``."""

    unit: int = setting(1, "bytes in a unit", gt=0)


class Size:
    """Writes size.txt."""

    Config = SizeConfig
    needs = ()

    def __init__(self, settings):
        self.settings = settings

    def run(self, artifact, context):
        size = sum(file.stat().st_size for file in (artifact / "adapter").iterdir())
        context.output.mkdir(parents=True)
        (context.output / "size.txt").write_text(str(size // self.settings.unit), encoding="utf-8")
        return context.output
