#!/usr/bin/env bash
# Resolves pyproject.toml into the full pins of both profiles. Run it after a dependency changed; commit what it writes.
set -euo pipefail

uv=uv; command -v uv >/dev/null || uv=.venv-uv/bin/uv
torch=(); [ -z "${PIP_FIND_LINKS:-}" ] || torch=(--find-links "$PIP_FIND_LINKS")
compile=("$uv" pip compile pyproject.toml --quiet --extra dev --python-version 3.11 --no-header --no-annotate --no-emit-index-url)
"${compile[@]}" --extra cpu --overrides requirements/overrides-cpu.txt "${torch[@]}" -o requirements/cpu.txt
"${compile[@]}" --extra gpu --python-platform x86_64-manylinux_2_34 -o requirements/gpu.txt
