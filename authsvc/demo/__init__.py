"""`authsvc demo`: the service, a store, an inbox and a small sample practice, on one machine and by one command."""
