"""Hand-written stand-ins for what the tests cannot reach."""
