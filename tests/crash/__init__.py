"""Crash tests on the real program: killed at any moment, drained and aborted by real signals, and audited.

``python -m tests.crash --help`` tells the rest.
"""
