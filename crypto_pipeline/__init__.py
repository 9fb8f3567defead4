"""
Read-only crypto market data with security at its core.

The floors of this package, and what may import what, are drawn in `docs/architecture.md`.
"""

__version__ = "0.1.0"
