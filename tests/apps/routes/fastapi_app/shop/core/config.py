"""Settings of the shop."""


class Settings:
    API_PREFIX: str = "/api/v1"
    NAME = "shop"


settings = Settings()
ADMIN = "admin"
