"""The one way out, tried against real servers on loopback, and budgets in a time of their own."""
