"""What an NVIDIA GPU makes of the network: ``python -m benchmarks.gpu``."""
