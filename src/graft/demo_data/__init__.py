"""Real tweets with their tone, for the demo; README.md beside them says where they are from."""
