"""Tests for the ported account models."""

from uuid import UUID

from fastapi.testclient import TestClient
from sqlalchemy import select

from shop.accounts.models import DEFAULT_LOCALE, Profile, User
from shop.context import Shop


def test_sign_up_creates_user_with_uuid(client: TestClient) -> None:
    response = client.post("/sign-up", json={"email": "ada@example.com"})
    assert response.status_code == 201
    assert UUID(response.json()["user_id"]).version == 4


def test_sign_up_stores_profile(client: TestClient, shop: Shop) -> None:
    client.post("/sign-up", json={"email": "ada@example.com", "display_name": "Ada", "locale": "sv"})
    with shop.sessions() as session:
        profile = session.scalars(select(Profile)).one()
    assert (profile.display_name, profile.locale) == ("Ada", "sv")


def test_profile_defaults(client: TestClient, shop: Shop) -> None:
    client.post("/sign-up", json={"email": "ada@example.com"})
    with shop.sessions() as session:
        user = session.scalars(select(User)).one()
        assert user.profile.locale == DEFAULT_LOCALE
        assert user.profile.created_at is not None
