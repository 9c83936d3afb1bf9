"""What the business is watched by: alerts and canaries read these counters."""

from prometheus_client import Counter

SIGN_UPS = Counter("shop_sign_ups_total", "People who signed up.")
ORDERS_COMPLETED = Counter("shop_orders_completed_total", "Orders that were paid for.")
PAYMENTS = Counter("shop_payments_total", "Answers of the payment provider.", ["outcome"])
