"""Results of reports as documents for a trader: one file a group of reports."""
