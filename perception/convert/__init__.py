"""What was found, in the formats of the tools that people evaluate and label with."""
