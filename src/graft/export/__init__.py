"""From a tuned model to a bundle that runs without PyTorch: built, quantized, checked, with its adapters."""
