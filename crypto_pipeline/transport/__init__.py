"""The one way out: which places may be asked, the client that asks, and how fast."""

from crypto_pipeline.transport.budget import Budget, PacedBudget, Ticket
from crypto_pipeline.transport.client import Answer, GuardedTransport, open_client, send
from crypto_pipeline.transport.egress import EgressRule, EgressTable, is_loopback
from crypto_pipeline.transport.joint import JointBudget
from crypto_pipeline.transport.windows import MinuteWindow, SlidingWindow, TokenBucket

__all__ = [
    "Answer",
    "Budget",
    "EgressRule",
    "EgressTable",
    "GuardedTransport",
    "JointBudget",
    "MinuteWindow",
    "PacedBudget",
    "SlidingWindow",
    "Ticket",
    "TokenBucket",
    "is_loopback",
    "open_client",
    "send",
]
