"""The same in the words of a prompt optimiser: a prompt is a template, a ticket the text of a case."""

from fastapi import APIRouter

from api.evaluation.prompts import editing, runs, suggesting, summary

router = APIRouter()
for _part in (editing, runs, summary, suggesting):
    router.include_router(_part.router)
