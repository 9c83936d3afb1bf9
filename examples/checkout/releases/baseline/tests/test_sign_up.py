"""Signing up."""

from fastapi.testclient import TestClient


def test_a_new_account_can_shop(client: TestClient) -> None:
    account = client.post("/sign-up", json={"email": "ada@example.com"})
    assert account.status_code == 201
    headers = {"Authorization": f"Bearer {account.json()['token']}"}
    assert client.post("/checkout", json={}, headers=headers).status_code == 422


def test_an_address_signs_up_once(client: TestClient) -> None:
    client.post("/sign-up", json={"email": "ada@example.com"})
    assert client.post("/sign-up", json={"email": "Ada@example.com"}).status_code == 409


def test_a_thing_without_an_at_is_no_address(client: TestClient) -> None:
    assert client.post("/sign-up", json={"email": "ada"}).status_code == 422
