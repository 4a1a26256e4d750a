# SPDX-License-Identifier: BSD-2-Clause
# test_nf_example.py - the program of examples/nf does what it says.
import json
import subprocess

from glen import binary


def test_packets_arrive_and_are_counted():
    done = subprocess.run([binary("examples/nf/nf-embedded"), "1000"],
                          timeout=60, check=True, capture_output=True,
                          text=True)
    first, _, text = done.stdout.partition("\n")
    assert first == "1000 packets arrived"
    shown = json.loads(text)
    instances = shown["instances"]
    counts = [instances[f"count.{i}"]["counters"] for i in (0, 1)]
    assert sum(c["packets"] for c in counts) == 1000
    assert sum(c["bytes"] for c in counts) == 60_000
    assert instances["port:out.0"]["out"] == 1000
    buffers = shown["buffers"]
    assert (buffers["free"] + sum(buffers["held"].values()) ==
            buffers["total"])
