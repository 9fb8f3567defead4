"""
Exchanges of our own making, on loopback, for the demo and the tests.

They check signatures with their own lines and share no code with the clients (floors 0-2 only),
so that a mistake of ours cannot hide in shared code.
"""
