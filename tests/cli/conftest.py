"""Makes ``broken.py``, which lies beside this file and in no package, importable as ``broken_projects``."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("broken_projects", Path(__file__).parent / "broken.py")
assert _SPEC is not None and _SPEC.loader is not None
sys.modules["broken_projects"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sys.modules["broken_projects"])
