"""When the tea room is open."""

from fastapi.testclient import TestClient


def test_open_later_on_saturday_and_closed_on_sunday(client: TestClient) -> None:
    hours = client.get("/opening-hours").json()
    assert hours["friday"] == {"opens": "09:00", "closes": "18:00"}
    assert hours["saturday"] == {"opens": "10:00", "closes": "17:00"}
    assert hours["sunday"] is None
