"""What a person sees of a load test, and where its results go."""
