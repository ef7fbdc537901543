"""Where jobs come from: adapters of `node.ports.source.JobSource`."""
