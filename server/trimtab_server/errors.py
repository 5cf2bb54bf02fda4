"""The error tree. Expected refusals (a rejected event) are results; these end a call.

TrimtabError
├── InvalidRequest         a field of the request is at fault; names it
├── NotFound               nothing has this id
├── Conflict               the same id or number carries something else
├── StaleEtag              what was decided on has changed; read it again
├── StreamBroken           the stream's rules were broken, or another stream took over
├── OutOfRange             a position that the log does not have (any more)
├── Unavailable            the server or its database cannot answer now; try again
├── Overloaded             a limit is reached; try again
├── AccessDenied           nobody known, or without the role; a retry does not help
└── DeadlineExceeded       the time for the call ran out
ConfigurationError         the settings do not allow a start (never leaves the process)
"""

from collections.abc import Mapping, Sequence

from trimtab_server.domain.events import Violation
from trimtab_server.domain.reasons import Reason


class TrimtabError(Exception):
    """Root: a machine-readable reason, words for a person, the fields at fault, and after how
    many seconds a retry may help (None = a retry does not help), and figures by name for programs
    (the contract's error.proto tells which)."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        violations: Sequence[Violation] = (),
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.retry_after_s = retry_after_s
        self.metadata = dict(metadata or {})


class InvalidRequest(TrimtabError):
    """A field of the request is at fault."""

    def __init__(self, *violations: Violation, reason: Reason = Reason.INVALID_FIELD) -> None:
        words = "; ".join(f"{v.field}: {v.description}" for v in violations[:4])
        super().__init__(reason, words, violations)


class NotFound(TrimtabError):
    """Nothing has this id."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(Reason.NOT_FOUND, what, [Violation(field, what)])


class Conflict(TrimtabError):
    """The same id or number carries something else."""


class StaleEtag(TrimtabError):
    """The etag is not the present one: somebody changed meanwhile what was decided on."""

    def __init__(self, message: str, etag: str) -> None:
        super().__init__(Reason.ETAG_STALE, message, metadata={"etag": etag})


class StreamBroken(TrimtabError):
    """The stream's rules were broken, or another stream took over."""


class OutOfRange(TrimtabError):
    """A position that the log does not have (any more)."""


class Unavailable(TrimtabError):
    """The server or its database cannot answer now."""

    def __init__(self, reason: Reason, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(reason, message, retry_after_s=retry_after_s)


class Overloaded(TrimtabError):
    """A limit is reached."""

    def __init__(self, reason: Reason, message: str, retry_after_s: float = 0.5) -> None:
        super().__init__(reason, message, retry_after_s=retry_after_s)


class AccessDenied(TrimtabError):
    """Who calls is not known, or has not the role."""

    def __init__(
        self, reason: Reason, message: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(reason, message, metadata=metadata)


class DeadlineExceeded(TrimtabError):
    """The time for the call ran out."""

    def __init__(self, message: str) -> None:
        super().__init__(Reason.DEADLINE_EXCEEDED, message)


class ConfigurationError(Exception):
    """The settings do not allow a start; says which one and what to do."""
