"""For development: begin again."""

from __future__ import annotations

from fastapi import APIRouter

from api.deps import ContainerDep, OperationResponse
from domain.errors import Refused

router = APIRouter(prefix="/api/dev", tags=["dev"])


@router.post("/reset")
def reset(container: ContainerDep) -> OperationResponse:
    """Delete everything, the log and the vectors included. Needs LMSYS_DEV_RESET=true."""
    if not container.settings.dev_reset:
        raise Refused("this deletes everything and is switched off: set LMSYS_DEV_RESET=true")
    container.reset()
    return OperationResponse(status="reset")
