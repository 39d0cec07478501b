"""Edits to the clusters of a run, their history, and the taking back of them."""

from fastapi import APIRouter

from api.curation import carrying, edits, history, orphans, quality
from api.queries import curation_router

router = APIRouter(prefix="/api/curation", tags=["curation"])
for _part in (curation_router, edits.router, history.router, orphans.router, carrying.router, quality.router):
    router.include_router(_part)
