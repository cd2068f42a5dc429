"""A training while it runs: devices, time, states to go on from, and when to stop."""
