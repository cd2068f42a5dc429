"""When frames are shown, by their own headers."""
