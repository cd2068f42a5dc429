"""What data sets hold and how to train with them."""
