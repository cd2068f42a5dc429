"""Training: the network, its loss and its steps."""
