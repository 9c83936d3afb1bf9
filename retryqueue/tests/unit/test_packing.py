"""What is sent is what redis-py would send."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from redis.connection import Connection

from retryqueue.packing import packed

REDIS_PY: Any = Connection  # Without types.

parts = st.lists(st.text(st.characters(exclude_categories=["Cs"])) | st.binary() | st.integers(), max_size=5)


@given(keys=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=4), args=parts)
def test_a_command_is_packed_as_redis_py_packs_it(keys: list[str], args: list[str | bytes | int]) -> None:
    command = ("FCALL", "name", len(keys), *keys, *args)

    assert packed(command) == b"".join(REDIS_PY().pack_command(*command))
    assert packed(command) == packed(command)  # The beginning is known by now.
