"""Imperatives and their handlers, the ports they need, and the work that jobs do."""
