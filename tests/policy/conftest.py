# SPDX-License-Identifier: Apache-2.0
"""The tests of the published table use the actors of the stories."""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "e2e"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
