"""The hosted pages: where patients sign in, open links, and see where they are signed in."""
