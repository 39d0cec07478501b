"""Hierarchies: making them, letting them follow their run, and the edits that people make to them."""

from commands.bus import Handler
from commands.hierarchy import edits, following, making
from commands.hierarchy.edits import AddCategory, MoveNodes, RemoveCategory, RenameCategory
from commands.hierarchy.following import FollowRun, run_follow
from commands.hierarchy.making import (
    FailHierarchy,
    RequestHierarchy,
    mean_direction,
    run_hierarchy,
)

__all__ = [
    "HANDLERS",
    "AddCategory",
    "FailHierarchy",
    "FollowRun",
    "MoveNodes",
    "RemoveCategory",
    "RenameCategory",
    "RequestHierarchy",
    "mean_direction",
    "run_follow",
    "run_hierarchy",
]

HANDLERS: dict[type, Handler] = {**edits.HANDLERS, **following.HANDLERS, **making.HANDLERS}
