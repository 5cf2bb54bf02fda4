"""The closed loop: where I/O meets the domain, one file a station."""
