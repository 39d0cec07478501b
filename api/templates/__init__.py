"""Templates: what a classifier goes by, in versions, as JSON or as YAML."""

from fastapi import APIRouter

from api.templates import files, reading, writing

router = APIRouter()
for part in (reading, writing, files):
    router.include_router(part.router)
