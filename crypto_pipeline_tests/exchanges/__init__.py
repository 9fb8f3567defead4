"""Clients against their sandbox over sockets, their rules against tables, and their signatures against others' code."""
