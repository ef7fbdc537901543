"""The doctor before real gateways, engines and proxies over loopback."""
