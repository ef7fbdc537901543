"""The seams: what a part needs of another, as small protocols. Adapters live above and satisfy them by shape."""
