"""Other programs that do what a node does: poll, and answer each job. They run until they are ended."""
