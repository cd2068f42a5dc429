"""Accuracy, and how sure it is."""
