"""Edits that people make to the clusters of a run, and the taking back of them."""

from commands.bus import Handler
from commands.curation import carrying, edits, proposals, remedies, reversal
from commands.curation.carrying import CarryOverEdits
from commands.curation.edits import (
    AnnotateCluster,
    DeleteCluster,
    FlagCluster,
    MergeClusters,
    MoveQueries,
    MoveQuery,
    RenameCluster,
    SplitCluster,
)
from commands.curation.proposals import AcceptProposal, ProposeEdits, RejectProposal, present_impact
from commands.curation.remedies import ProposeRemedies
from commands.curation.reversal import ReverseEdit, edit_in_full

__all__ = [
    "HANDLERS",
    "AcceptProposal",
    "AnnotateCluster",
    "CarryOverEdits",
    "DeleteCluster",
    "FlagCluster",
    "MergeClusters",
    "MoveQueries",
    "MoveQuery",
    "ProposeEdits",
    "ProposeRemedies",
    "RejectProposal",
    "RenameCluster",
    "ReverseEdit",
    "SplitCluster",
    "edit_in_full",
    "present_impact",
]

HANDLERS: dict[type, Handler] = {
    **edits.HANDLERS,
    **reversal.HANDLERS,
    **carrying.HANDLERS,
    **proposals.HANDLERS,
    **remedies.HANDLERS,
}
