"""Translation only: protobuf to domain and back, errors to statuses."""
