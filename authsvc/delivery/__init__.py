"""Ways to reach a person: what a message says, who carries it, and the worker that empties the outbox."""
