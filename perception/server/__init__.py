"""What a run shows to others while it runs: metrics and a live page. Needs the extra ``serve``."""
