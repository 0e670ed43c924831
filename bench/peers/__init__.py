"""Other ways to get rows out of a database, each a program of its own in an environment of its own."""
