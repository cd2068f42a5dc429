"""Which frames of a run are worth a person's labels, as a data set to begin from."""
