"""Recordings on disk: video files and images."""
