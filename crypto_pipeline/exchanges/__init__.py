"""Clients that read from one exchange each: a family behind one interface."""
