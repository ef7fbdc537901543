"""What tests share: waiting for conditions, recording events, virtual time."""
