# SPDX-License-Identifier: BSD-2-Clause
# module/conftest.py - fixtures: an installed glen, and modules built with it.
import pytest

from glen import Glend
from modules import Tree


@pytest.fixture(scope="session")
def tree():
    with Tree() as made:
        yield made


@pytest.fixture(scope="session")
def folder(tree):
    """A directory with the modules bridge and probe."""
    path = tree.folder / "modules"
    path.mkdir(mode=0o755)
    tree.bridge(path)
    tree.probe(path)
    return path


@pytest.fixture
def loaded(folder):
    """A glend that has them."""
    with Glend(args=["--module-dir", str(folder)]) as daemon:
        yield daemon
