"""One file per port: everything that talks to the world outside."""
