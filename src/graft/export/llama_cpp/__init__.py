"""GGUF bundles in llama.cpp: the gate, the Modelfile for Ollama, adapters, the README."""
