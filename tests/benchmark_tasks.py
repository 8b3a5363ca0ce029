"""Tasks of lm-evaluation-harness in files beside their rows: choices, answers, and whole texts."""

import json

CHOICES = """task: moods
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl, train: shots.jsonl}}
test_split: test
fewshot_split: train
output_type: multiple_choice
doc_to_text: "{{text}}\\nMood:"
doc_to_target: label
doc_to_choice: [good, bad, neither of the two]
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
ANSWERS = """task: names
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{text}}\\nMood:"
doc_to_target: label
generation_kwargs: {until: ["o", "\\n"], max_gen_toks: 12, do_sample: false}
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""
TEXTS = """task: plain
dataset_path: json
dataset_kwargs: {data_files: {test: rows.jsonl}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: text
metric_list: [{metric: word_perplexity}, {metric: bits_per_byte}]
"""


def write_tasks(folder):
    """The three task files and their rows, in a new folder."""
    folder.mkdir()
    words = ["it is fine", "I love it", "I hate it", "the lazy dog jumps", "12 + 30 = 42"]
    rows = [{"text": f"{words[n % 5]}, {words[n % 3]} {n}", "label": ["good", "bad"][n % 2]} for n in range(24)]
    for name, part in (("rows.jsonl", rows[:18]), ("shots.jsonl", rows[18:])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    for name, text in (("moods", CHOICES), ("names", ANSWERS), ("plain", TEXTS)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    return folder
