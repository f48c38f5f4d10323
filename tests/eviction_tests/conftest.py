"""The decoder's NumPy reference stands beside its own tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "models_tests"))
