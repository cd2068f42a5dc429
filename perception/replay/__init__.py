"""A recorded run played again, and what is seen otherwise: a regression test for users' drives."""
