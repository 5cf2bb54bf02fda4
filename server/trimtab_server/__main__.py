"""`python -m trimtab_server` is `trimtab`."""

from trimtab_server.cli import main

main()
