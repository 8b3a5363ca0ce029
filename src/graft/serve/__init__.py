"""Servers: each binds to this machine alone."""
