"""A router with another below it."""
from ninja import Router

router = Router(tags=["visits"])
notes = Router()


@router.get("")
def visits(request):
    return []


@router.post("")
def book(request):
    return {}


@router.get("/{int:visit_id}", url_name="visit")
def visit(request, visit_id: int):
    return {}


@notes.get("/{slug:name}")
async def note(request, visit_id: int, name: str):
    return {}


router.add_router("/{int:visit_id}/notes/", notes)
