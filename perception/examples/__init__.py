"""Small programs to begin from; start one by ``python -m oneglance.perception.examples.NAME``."""
