"""One network or four: many trainings compared on the same images."""
