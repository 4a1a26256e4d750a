# SPDX-License-Identifier: BSD-2-Clause
# modules.py - builds modules as a stranger would, and a glend that has them.
"""
    with Tree() as tree:
        tree.bridge(folder)             # examples/bridge, by its Makefile
        tree.probe(folder, "x", MAJOR=2)    # probe.c as x.so, with -DMAJOR=2
        with Glend(args=["--module-dir", folder]) as glend:
            ...

What they are compiled with is in .headers: the installed headers of glen and
glen-module.pc, copied out of an installation, and nothing else of it.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

from glen import BUILD, SOURCE

HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = pathlib.Path(SOURCE) / "examples/bridge"


def run(*command, **env):
    done = subprocess.run([str(word) for word in command], text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False,
                          env={**os.environ, **env})
    assert not done.returncode, f"{command}: {done.stdout}"
    return done.stdout


class Tree:
    """An installation in a temporary folder, and what modules need of it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="glen-module-"))
        self.folder.chmod(0o755)
        self.installed = self.folder / "installed"
        run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir",
            self.installed)
        pc = self.one("glen-module.pc")
        prefix = next(line.split("=", 1)[1] for line in
                      pc.read_text().splitlines()
                      if line.startswith("prefix="))
        self.prefix = self.installed / prefix.lstrip("/")
        self.headers = self.folder / "headers"
        shutil.copytree(self.prefix / "include", self.headers / "include")
        (self.headers / "pkgconfig").mkdir()
        shutil.copy(pc, self.headers / "pkgconfig")
        self.env = {"PKG_CONFIG_PATH": str(self.headers / "pkgconfig"),
                    "PKG_CONFIG": "pkg-config --define-variable=prefix="
                                  f"{self.headers}"}

    def one(self, name):
        found = list(self.installed.rglob(name))
        assert len(found) == 1, found
        return found[0]

    def flags(self, what):
        return run(*self.env["PKG_CONFIG"].split(), what, "glen-module",
                   **self.env).split()

    def bridge(self, folder, source=EXAMPLE / "bridge.c"):
        """Builds a copy of the example and installs it into folder."""
        work = pathlib.Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copy(EXAMPLE / "Makefile", work)
        shutil.copy(source, work / "bridge.c")
        run("make", "-C", work, "install", f"moduledir={folder}",
            "CFLAGS=-O2 -Wall -Wextra -Wno-unused-parameter -Werror",
            **self.env)
        return pathlib.Path(folder) / "bridge.so"

    def probe(self, folder, name="probe", source=HERE / "probe.c", **macros):
        """Builds probe.c as name.so. NAME: what it calls itself, if other."""
        pathlib.Path(folder).mkdir(exist_ok=True)
        output = pathlib.Path(folder) / f"{name}.so"
        macros = {"NAME": f'"{name}"', **macros}
        words = [f"-D{key}={value}" for key, value in macros.items()]
        run("cc", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden",
            "-O2", "-Wall", "-Wextra", "-Wno-unused-parameter",
            "-Wno-unused-function", *words,
            *self.flags("--cflags"), "-o", output, source,
            *self.flags("--libs"))
        output.chmod(0o644)
        return output

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder)
