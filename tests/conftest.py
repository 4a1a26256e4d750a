# SPDX-License-Identifier: BSD-2-Clause
# conftest.py - fixtures for all Python tests, and what every test is held to.
"""
scripts/check runs the Python suites with

  GLEN_BUILD           the build directory
  GLEN_SCALE           a factor for counts of packets, rounds and seconds: 1,
                       or less under sanitizers; see the fixture scaled
  GLEN_SANITIZER_LOGS  where sanitizers write their reports; a test during
                       which one appears fails, whichever process it came from
"""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib"))

import glen  # noqa: E402

LOGS = os.environ.get("GLEN_SANITIZER_LOGS")


def pytest_configure(config):
    if not os.path.exists(os.path.join(glen.BUILD, "build.ninja")):
        pytest.exit(f"{glen.BUILD} is not a build directory: run make, or set "
                    "GLEN_BUILD", returncode=2)


def reports():
    return set(pathlib.Path(LOGS).glob("report.*")) if LOGS else set()


@pytest.fixture(autouse=True)
def no_sanitizer_report():
    before = reports()
    yield
    new = sorted(reports() - before)
    if not new:
        return
    text = "\n".join(path.read_text(errors="replace") for path in new)
    for path in new:
        path.rename(path.with_name("seen-" + path.name))
    pytest.fail("sanitizer report:\n" + text, pytrace=False)


@pytest.fixture
def scaled():
    """scaled(n): n times GLEN_SCALE, but at least least=1."""
    factor = float(os.environ.get("GLEN_SCALE", "1"))
    return lambda n, least=1: max(least, int(n * factor))


@pytest.fixture
def glend():
    """A private glend with one worker."""
    with glen.Glend() as daemon:
        yield daemon


@pytest.fixture
def netns():
    """netns() makes a namespace that goes away after the test."""
    made = []

    def make():
        made.append(glen.Netns())
        return made[-1]

    reason = glen.why_no_root()
    if reason:
        pytest.skip(reason)
    yield make
    for ns in made:
        ns.close()
