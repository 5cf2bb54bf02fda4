"""Brings a database's schema up to date."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from trimtab_server.errors import ConfigurationError

_SCRIPTS = str(Path(__file__).parent / "migrations")


def head_revision() -> str:
    """The revision of the schema that this version works with."""
    head = ScriptDirectory(_SCRIPTS).get_current_head()
    assert head is not None
    return head


def known_revisions() -> set[str]:
    """The revisions of the schema that this version can bring up to date."""
    return {script.revision for script in ScriptDirectory(_SCRIPTS).walk_revisions()}


def migrate(connection: Connection, name: str) -> None:
    """Runs what is missing of the migrations in the transaction of `connection`; `name` is the
    database for the words of a refusal. Raises ConfigurationError for a newer schema."""
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise ConfigurationError(
            f"{name} was written by a newer version of trimtab: {error}"
        ) from error
