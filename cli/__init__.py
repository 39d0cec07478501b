"""`lmsys`: a thin client of the HTTP API."""
