# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the stories. The program is named by the environment variable SALLYPORT; without it the tests of the
actors run and everything else is skipped."""
import os
import pathlib
import shutil
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

import ocsf  # noqa: E402
from lab import Lab, netns  # noqa: E402
from lab.lab import base_folder  # noqa: E402
from lab.proxy import usable_binary  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: too long for every commit; runs when SALLYPORT_LONG is set")
    netns.enter()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("long") and not os.environ.get("SALLYPORT_LONG"):
            item.add_marker(pytest.mark.skip(reason="long: set SALLYPORT_LONG"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    lab = item.funcargs.get("lab") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and lab is not None:
        report.sections.append(("lab", lab.report()))


def checker():
    return ocsf.problems


@pytest.fixture(scope="session")
def binary():
    folder = base_folder()
    path = usable_binary(folder)
    if path is None:
        shutil.rmtree(folder)
        pytest.skip("SALLYPORT does not name the program")
    yield path
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(binary):
    one = Lab(binary=binary, checker=checker())
    yield one
    one.close()


@pytest.fixture
def actors():
    """A lab without the program, for the tests of the actors."""
    one = Lab(binary="/bin/false")
    yield one
    one.close()
