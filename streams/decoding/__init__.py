"""Packets into frames: what libav gives, which of it is intact, and how it becomes an image."""
