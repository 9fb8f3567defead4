"""Values as they are issued, and awkward ones."""

from __future__ import annotations

VALUE = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
AWKWARD = """kQ3+x/9"=Z'<t>\\7&w Lé~"""
PEM = (
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEIDr3Xk8zq0Yw7kq3m1m2dKkz0b8bM5l8vZc3P0nqJ7yCoAoGCCqGSM49\n"
    "AwEHoUQDQgAEk2mYt8q1c3o0v5sX9wR4eT6uI8pL2aS7dF3gH1jK5zX4cV6bN8mQ\n"
    "w0eR2tY4uI6oP8aS1dF3gH5jK7lZ9xC==\n"
    "-----END EC PRIVATE KEY-----\n"
)
