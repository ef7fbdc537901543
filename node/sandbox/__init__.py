"""The bundled gateway: real rules, leases, tokens and points in one ASGI application."""
