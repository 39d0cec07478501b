"""Edits to the clusters of a run, their history, and the taking back of them."""

from fastapi import APIRouter

from api.curation import carrying, diff, edits, history, orphans, proposals, quality
from api.queries import curation_router

router = APIRouter(prefix="/api/curation", tags=["curation"])
router.include_router(curation_router)
for _part in (edits, history, orphans, carrying, diff, proposals, quality):
    router.include_router(_part.router)
