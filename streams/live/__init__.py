"""Cameras and network sources: they fall silent, come back, and say how they are."""
