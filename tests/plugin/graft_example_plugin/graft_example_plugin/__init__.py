"""One extension of graft of each kind, each in a file of its own."""
