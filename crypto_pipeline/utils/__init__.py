"""The import paths of the security handbook: its names and signatures, passed straight on to the floors below."""
