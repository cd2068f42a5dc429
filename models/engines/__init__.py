"""What runs the network: one module an engine, each imported only when it is asked for."""
