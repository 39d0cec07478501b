"""HTTP: routers, request and response models, errors, access. No logic."""
