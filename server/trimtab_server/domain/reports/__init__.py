"""What the ledger says: guards, strategies, decay, what if."""
