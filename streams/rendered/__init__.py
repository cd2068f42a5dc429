"""The drive that oneglance draws itself, and the truth about it."""
