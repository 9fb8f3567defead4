"""
Values that cannot be shown, and text that is scrubbed of them.

`Secret` is the only way a secret value travels through this package. Each one that is made is
registered with the process's redactor, so that `scrub` can take it out of any text, in the
forms a value takes on its way into a log: as it is, base64, hex, URL, JSON. `sanitized` does the
same for whole structures, by the names of their keys as well as by value.
"""

from crypto_pipeline.redaction.forms import MASK, encoded_forms
from crypto_pipeline.redaction.redactor import REDACTOR, Redactor, scrub
from crypto_pipeline.redaction.secret import Secret
from crypto_pipeline.redaction.structures import SENSITIVE_PATTERNS, sanitized

__all__ = ["MASK", "REDACTOR", "SENSITIVE_PATTERNS", "Redactor", "Secret", "encoded_forms", "sanitized", "scrub"]
