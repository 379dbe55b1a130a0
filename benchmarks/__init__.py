"""Figures of a running server, from outside: what `make bench` prints. Nothing of the product imports this."""
