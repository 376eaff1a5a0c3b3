# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the stories in which calls fail."""
import os
import pathlib
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
for folder in (HERE, HERE.parent / "e2e"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import ocsf  # noqa: E402
from fault import Fault  # noqa: E402
from lab import Lab, netns  # noqa: E402
from lab.lab import base_folder  # noqa: E402
from lab.proxy import usable_binary  # noqa: E402


def pytest_configure(config):
    netns.enter()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and lab is not None:
        report.sections.append(("lab", lab.report()[-9000:]))


@pytest.fixture(scope="session")
def programs():
    """Copies of the program and of the library that every account reaches."""
    folder = base_folder()
    binary, library = usable_binary(folder), os.environ.get("SALLYPORT_FAULT_LIBRARY", "")
    if binary is None or not os.path.exists(library):
        shutil.rmtree(folder)
        pytest.skip("SALLYPORT and SALLYPORT_FAULT_LIBRARY do not name the program and the library")
    copy = os.path.join(folder, "libfault.so")
    shutil.copy2(library, copy)
    os.chmod(copy, 0o755)
    yield binary, copy
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(programs):
    one = Lab(binary=programs[0], checker=ocsf.problems)
    yield one
    one.close()


@pytest.fixture
def fault(lab, programs):
    one = Fault(lab.make_folder("fault"), programs[1])
    yield one
    one.close()
