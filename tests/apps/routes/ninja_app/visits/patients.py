"""A router that the API takes by its name."""
from ninja import Router

router = Router()


@router.get("/{patient}")
def patient(request, patient: str):
    return {}


@router.put("/{patient}")
def admit(request, patient: str):
    return {}
