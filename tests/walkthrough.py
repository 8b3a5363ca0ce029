"""The settings files of users' walkthroughs, as they are written there."""

OLIVE = """
# olive-config.yaml
model:
  type: PyTorchModel
  config:
    model_path: "microsoft/DialoGPT-medium"
    task: "text-generation"
data_configs:
  - name: "custom_dataset"
    type: "HuggingfaceContainer"
    load_dataset_config:
      data_files: "path/to/your/dataset.json"
      split: "train"
    pre_process_data_config:
      text_template: "User: {input}\\nAssistant: {output}"
passes:
  lora:
    type: LoRA
    config:
      r: 16
      lora_alpha: 32
      target_modules: ["c_attn", "c_proj"]
      modules_to_save: ["ln_f", "lm_head"]
"""
SEARCH = """
# hyperparameter-search.yaml
search_strategy: {type: "random", num_trials: 20}
search_space:
  learning_rate: {type: "float", low: 1e-6, high: 1e-3, log: true}
  lora_r: {type: "int", low: 8, high: 64}
  batch_size: {type: "choice", values: [8, 16, 32]}
"""
OVERFITTING = """
passes: {lora: {type: LoRA, config: {r: 16, lora_alpha: 16, lora_dropout: 0.1, weight_decay: 0.01}}}
"""
SLOW = """
training_config: {fp16: true, dataloader_num_workers: 4, optim: "adamw_torch", lr_scheduler_type: "cosine"}
"""
FILES = {"olive": OLIVE, "search": SEARCH, "overfitting": OVERFITTING, "slow": SLOW}
