"""A small tea shop: people sign up, order tea and pay for it."""
