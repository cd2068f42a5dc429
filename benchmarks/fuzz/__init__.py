"""Mutated inputs through the open doors: media, data set files, labels and model files."""
