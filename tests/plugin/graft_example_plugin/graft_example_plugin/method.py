"""A method with an option of its own: one learned factor behind the last normalization."""

from contextlib import contextmanager

from graft.config import Settings, setting
from graft.methods.base import Method, write_folder


class ScaleConfig(Settings):
    """Options of ``Scale``."""

    scale_start: float = setting(1.0, "factor that training starts from", "my_start", gt=0)


class Scale(Method):
    """Trains one number."""

    name = "scale"
    title = "one factor"
    help = "one learned factor behind the last normalization"
    Config = ScaleConfig
    learning_rate = 0.05
    mergeable = True

    def prepare(self, model, config, seed, heads):
        from graft_example_plugin.layers import Scaled

        model.requires_grad_(False)
        model.model.norm = Scaled(model.model.norm, config.scale_start)
        return model

    def save(self, model, run_folder):
        from safetensors.torch import save_file

        factor = {"factor": model.model.norm.factor.detach().clone()}
        write_folder(run_folder / "adapter", lambda folder: save_file(factor, folder / "scale.safetensors"))

    def load(self, model, folder, trainable=False):
        from safetensors.torch import load_file

        from graft_example_plugin.layers import Scaled

        factor = load_file(folder / "scale.safetensors")["factor"]
        model.model.norm = Scaled(model.model.norm, float(factor))
        return model.requires_grad_(False)

    @contextmanager
    def disabled(self, model):
        model.model.norm.enabled = False
        try:
            yield
        finally:
            model.model.norm.enabled = True

    def merge(self, model):
        norm = model.model.norm
        norm.norm.weight.data *= norm.factor.data
        model.model.norm = norm.norm
        return model
