"""A transport for thousands of nodes in one process: bare connections, parsed by httptools, shared by all nodes."""
