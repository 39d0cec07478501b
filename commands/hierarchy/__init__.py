"""Hierarchies: making them, letting them follow their run, and the edits that people make to them."""

from commands.bus import Handler
from commands.hierarchy import edits, following, recording
from commands.hierarchy.edits import AddCategory, MoveNodes, RemoveCategory, RenameCategory
from commands.hierarchy.following import FollowRun, run_follow
from commands.hierarchy.making import mean_direction, parents_of, run_hierarchy
from commands.hierarchy.recording import (
    MERGE_RATIO,
    CancelHierarchy,
    RequestHierarchy,
    ResumeHierarchy,
)

__all__ = [
    "HANDLERS",
    "MERGE_RATIO",
    "AddCategory",
    "CancelHierarchy",
    "FollowRun",
    "MoveNodes",
    "RemoveCategory",
    "RenameCategory",
    "RequestHierarchy",
    "ResumeHierarchy",
    "mean_direction",
    "parents_of",
    "run_follow",
    "run_hierarchy",
]

HANDLERS: dict[type, Handler] = {**edits.HANDLERS, **following.HANDLERS, **recording.HANDLERS}
