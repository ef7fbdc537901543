"""A pull-based worker node for LLM gateways, its fleet, and a gateway to run them against."""

__version__ = "0.1.0"
