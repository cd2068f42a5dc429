"""Containers from which libav leaves out what is damaged, without a word: their packets, with what
is missing between them."""
