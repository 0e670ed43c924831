"""Outhaul beside other ways to get rows out of a database."""
