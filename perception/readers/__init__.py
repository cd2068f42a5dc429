"""Frames for the loop, from one recording or from many live sources."""
