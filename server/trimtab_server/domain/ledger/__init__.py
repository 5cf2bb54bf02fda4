"""The ledger: what events tell, in order, as columns."""
