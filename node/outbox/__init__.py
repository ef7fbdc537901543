"""Finished results, kept on disk until a source has taken them, and the one sender of a fleet."""
