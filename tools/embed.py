#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
# embed.py - write a text file as a C array: embed.py FILE NAME OUTPUT.
import sys

path, name, output = sys.argv[1:]
with open(path, "rb") as file:
    data = file.read() + b"\0"
with open(output, "w", encoding="ascii") as file:
    file.write(f"extern const char {name}[];\nconst char {name}[] = {{\n")
    for i in range(0, len(data), 16):
        line = ", ".join(str(b) for b in data[i:i + 16])
        file.write(f"\t{line},\n")
    file.write("};\n")
