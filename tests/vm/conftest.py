# SPDX-License-Identifier: BSD-2-Clause
# conftest.py - skips where guests cannot run; shows consoles after failures.
import pytest

import vm


@pytest.fixture(scope="session", autouse=True)
def image():
    """Kernel and initramfs, made once."""
    reason = vm.why_not()
    if reason:
        pytest.skip(reason)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.failed:
        for thing in vm.alive:
            report.sections.append((thing.name, thing.log()))
