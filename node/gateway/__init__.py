"""The client of a gateway: transport, session, retries, and the steps of the protocol."""
