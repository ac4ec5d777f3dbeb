"""Weights of models that the pipelines ship, each with its training script."""
