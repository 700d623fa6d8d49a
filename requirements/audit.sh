#!/usr/bin/env bash
# Known vulnerabilities of the pins, by pip-audit. Where its database does not answer, a line says so and all is well: a
# check must not fail for want of a network. It answers if it knows of a release that everybody knows to be vulnerable:
# a package that it cannot look up counts as "no vulnerability" for pip-audit.
set -uo pipefail

uv=uv; command -v uv >/dev/null || uv=.venv-uv/bin/uv
probe=$(mktemp); trap 'rm -f "$probe"' EXIT
echo "jinja2==2.10" > "$probe"
audit() {
    timeout "$1" "$uv" tool run --quiet pip-audit==2.10.1 --requirement "$2" --no-deps --disable-pip \
        --progress-spinner off --timeout 5 2>/dev/null
}

if ! audit 30 "$probe" | grep -q '^jinja2 .*\(CVE\|GHSA\|PYSEC\)-'; then
    echo "audit: skipped, no advisory database answers from here"
    exit 0
fi
for pins in requirements/cpu.txt requirements/gpu.txt; do
    # Shown, not refused: an advisory of tonight is not the fault of the change that is checked today.
    audit 600 "$pins" || echo "audit: look at the advisories above for $pins"
done
