"""Data sets: read, checked, merged."""
