"""Whether an alert reaches a pager: asked of Alertmanager's own `amtool config routes test`.

That is routing only. Silences and the delivery itself are not tried.
"""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from interlock.core.errors import WorldError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIMEOUT_S: Final = 30.0


def receivers(config: Path, labels: Mapping[str, str]) -> list[str]:
    """Where an alert with these labels goes.

    Raises:
        WorldError: If there is no amtool, or it cannot read the configuration.
    """
    program = shutil.which("amtool")
    if program is None:
        message = "no amtool on this machine (it comes with prometheus-alertmanager), so where alerts go is not known"
        raise WorldError(message)
    given = [f'{name}="{_escaped(value)}"' for name, value in labels.items()]
    command = [program, "config", "routes", "test", f"--config.file={config}", *given]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603 - no shell.
    except subprocess.TimeoutExpired as error:
        message = f"amtool gave no answer within {_TIMEOUT_S:.0f} s"
        raise WorldError(message) from error
    if done.returncode:
        message = f"amtool cannot read {config.name}: {' '.join((done.stderr or done.stdout).split())[:300]}"
        raise WorldError(message)
    return [name.strip() for name in done.stdout.split(",") if name.strip()]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
