"""Classes that only some applications have: they are known where somebody has imported them.

Where nobody has, nothing is of that class. So to ask whether something is, nobody need wait for the import.
"""

from __future__ import annotations

import sys
from typing import Any


def loaded(module: str, *names: str) -> tuple[type[Any], ...]:
    """Those classes of `module`, as `isinstance` takes them; `()`, of which nothing is, where it is not imported.

    `module` has them from its own import on: a package that looks its names up later may have been imported without.
    """
    there = sys.modules.get(module)
    if there is None:
        return ()
    return tuple(found for name in names if isinstance(found := vars(there).get(name), type))
