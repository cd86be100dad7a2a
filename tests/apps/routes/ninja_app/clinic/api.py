"""APIs: operations of their own, routers by name, by object and below each other."""
from django.conf import settings
from ninja import NinjaAPI, Router

from visits.api import router as visits

api = NinjaAPI(title="Clinic", version="2")
internal = NinjaAPI(title="Internal", urls_namespace="internal", docs_url=None)

api.add_router("/visits", visits)
api.add_router("patients/", "visits.patients.router", tags=["patients"])


@api.get("/")
def index(request):
    return {}


@api.get("/doctors/{doctor_id}")
def doctor(request, doctor_id: int):
    return {}


@api.delete("/doctors/{doctor_id}", response={204: None})
def dismiss(request, doctor_id: int):
    return 204, None


@api.api_operation(["POST", "PATCH"], "/doctors")
def change(request):
    return {}


if settings.DEBUG:
    @api.get("/debug")
    def debug(request):
        return {}


@internal.get("reports/{path:name}")
def report(request, name: str):
    return {}


jobs = Router()


@jobs.post("//run//{uuid:job}/")
def run(request, job: str):
    return {}


internal.add_router("jobs", jobs)
