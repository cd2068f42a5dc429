"""Packets into frames: what libav gives, which of it is whole, and how it becomes an image."""
