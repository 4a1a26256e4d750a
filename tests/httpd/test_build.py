# SPDX-License-Identifier: BSD-2-Clause
# test_build.py - the example as a stranger builds it: with what is installed.
import os
import pathlib
import shutil
import subprocess

from glen import BUILD, SOURCE

EXAMPLE = pathlib.Path(SOURCE) / "examples/httpd"


def run(*command, **env):
    done = subprocess.run(list(map(str, command)), text=True, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT,
                          env={**os.environ,
                               **{k: str(v) for k, v in env.items()}})
    assert not done.returncode, done.stdout
    return done.stdout


def test_from_installed_headers(tmp_path):
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir",
        tmp_path / "installed")
    pc, = (tmp_path / "installed").rglob("libglen.pc")
    text = pc.read_text()
    prefix = next(line.split("=", 1)[1] for line in text.splitlines()
                  if line.startswith("prefix="))
    moved = tmp_path / "installed" / prefix.lstrip("/")
    pc.write_text(text.replace(f"prefix={prefix}\n", f"prefix={moved}\n", 1))
    work = tmp_path / "httpd"
    shutil.copytree(EXAMPLE, work)
    run("make", "-C", work, "CFLAGS=-O1 -Wall -Wextra -Wno-unused-parameter "
        "-Werror", PKG_CONFIG_PATH=pc.parent)
    for name in ("glen-httpd", "glen-http-load"):
        text = run(work / name, "--help", LD_LIBRARY_PATH=str(
            next(moved.rglob("libglen.so")).parent))
        assert text.startswith(name)
