"""Other engines' files as rows."""
