"""What the platform asks the service."""

from fastapi.testclient import TestClient


def test_healthy_if_the_database_answers(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


def test_metrics_are_exported(client: TestClient) -> None:
    assert "shop_orders_completed_total" in client.get("/metrics").text
