"""Pure functions and plain data: no I/O, no clock, no protobuf, no SQL."""
