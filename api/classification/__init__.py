"""Classification runs over HTTP: launched, followed, and what came of them."""

from fastapi import APIRouter

from api.classification import exporting, reports, results, runs

router = APIRouter(prefix="/api/classification", tags=["classification"])
for module in (runs, results, exporting, reports):
    router.include_router(module.router)
