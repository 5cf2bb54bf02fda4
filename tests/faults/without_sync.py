"""A sidecar that lies: it promises POWER_LOSS and runs SQLite with synchronous=OFF.

Put before the command of a real sidecar; it takes over the flags that follow `serve`.
"""

import sys

from trimtab_server.cli import main
from trimtab_server.store import sqlite

if __name__ == "__main__":
    sqlite._SYNCHRONOUS["power_loss"] = "OFF"
    sys.argv = ["trimtab", *sys.argv[sys.argv.index("serve") :]]
    main()
