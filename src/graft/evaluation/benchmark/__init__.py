"""Task benchmarks by EleutherAI's lm-evaluation-harness, asked through graft's own predictors."""
