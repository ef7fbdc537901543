"""Looks whether a node could work here: everything that it needs, asked for once, each with a remedy."""
