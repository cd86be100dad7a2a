"""Users: a router with a prefix of its own and one nested in it."""
from fastapi import APIRouter, Depends

router = APIRouter(prefix="/users", tags=["users"])
posts = APIRouter()


def current_user() -> str:
    return "me"


@router.get("")
async def list_users():
    return []


@router.post("/", status_code=201)
async def create_user():
    return {}


@router.get("/me")
async def read_me(user: str = Depends(current_user)):
    return user


@router.get("/{user_id}")
async def read_user(user_id: int):
    return user_id


@router.put("/{user_id}")
@router.patch("/{user_id}")
async def change_user(user_id: int):
    return user_id


@posts.get("/{post_id:int}")
def read_post(user_id: int, post_id: int):
    return post_id


router.include_router(posts, prefix="/{user_id}/posts")
