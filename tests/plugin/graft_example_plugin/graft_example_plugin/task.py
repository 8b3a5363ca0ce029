"""A task: text generation by another name, judged by the metric of this package."""

from graft.tasks.text_generation import TextGeneration


class Echo(TextGeneration):
    """Answers that repeat the prompt."""

    name = "echo"
    title = "echoing"
    help = "repeat what was said"

    def default_metrics(self, label_space):
        return ("same_length", "perplexity")
