"""Test sets, evaluation runs, comparisons and suggestions; and the same as prompts and their runs."""

from fastapi import APIRouter

from api.evaluation import comparing, prompts, runs, suggestions, test_sets

router = APIRouter(tags=["evaluation"])
for _part in (test_sets, runs, comparing, suggestions):
    router.include_router(_part.router, prefix="/api/evaluation")
router.include_router(prompts.router, prefix="/api")
