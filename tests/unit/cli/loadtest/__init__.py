"""What a person sees of a load test."""
