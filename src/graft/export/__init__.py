"""From a tuned model to a bundle that runs without PyTorch: built, quantised, checked, with its adapters."""
