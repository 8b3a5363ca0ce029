"""An export target with an option of its own: copies of the merged weights."""

from graft.config import Settings, setting
from graft.export.merge import load_judged, merge_judged
from graft.export.target import Built


class CopiesConfig(Settings):
    """Options of ``Copies``."""

    copies: int = setting(1, "number of copies", ge=1)


class Copies:
    """Model folders, each with all the weights."""

    name = "copies"
    title = "copies"
    help = "copies of the merged model"
    format = "copies"
    precisions = ("float32",)
    Config = CopiesConfig

    def can(self, source, options, config):
        return None

    def build(self, source, options, config, folder, reporter):
        for number in range(config.copies):
            merge_judged(load_judged(source), source, folder / str(number))
        reporter.note(f"{config.copies} copies")
        return Built({"passed": True, "reason": "they are copies"}, 0.1, {"copies": config.copies})

    def open(self, folder, adapter=None):
        raise NotImplementedError("load one of its folders")
