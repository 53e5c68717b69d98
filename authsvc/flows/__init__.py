"""The use cases: what a call from outside means, in the order in which it happens."""
