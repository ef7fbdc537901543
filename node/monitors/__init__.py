"""What watches over a fleet: its statistics, the auth service's health and the proxies'."""
