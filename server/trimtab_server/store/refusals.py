"""A database that refuses, in our errors."""

from trimtab_server.domain.reasons import Reason
from trimtab_server.errors import Unavailable


class DatabaseBusy(Unavailable):
    """Somebody else holds the database for longer than we wait at a time: trying again is safe,
    nothing was stored."""


def unavailable(error: BaseException | None) -> Unavailable:
    """The error of callers whose work was refused; nothing of it is stored."""
    return Unavailable(Reason.STORE_UNAVAILABLE, f"the database refused: {error}")


def busy(error: BaseException | None) -> DatabaseBusy:
    """The same, when waiting helps."""
    return DatabaseBusy(Reason.STORE_UNAVAILABLE, f"the database is busy: {error}")
