#!/usr/bin/env python3
"""Ask pip-audit whether an environment holds a package with a known vulnerability.

    python .ci/audit.py PIP-AUDIT SITE-PACKAGES

Exit codes: 0 no vulnerability is known, or nobody could be asked (the last line says which); 1 one is known,
or pip-audit failed. A package that the service does not know is named: it was not audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

UNREACHABLE = ("ConnectionError", "ConnectTimeout", "ProxyError", "ReadTimeout", "ServiceError", "SSLError")
"""What the last line of pip-audit's errors holds where the service cannot be asked."""


def verdict(output: str, errors: str) -> tuple[int, str]:
    """Return the exit code and what to print.

    :param output: pip-audit's JSON, empty where it failed
    :param errors: what it wrote to standard error
    """
    try:
        packages: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["no output"])[-1]
        if any(word in last for word in UNREACHABLE):
            return 0, f"NOT AUDITED: the vulnerability service cannot be reached ({last[:200]})"
        return 1, f"pip-audit failed: {last[:500]}"
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {flaw['id']}, mended in {flaw['fix_versions'] or 'none'}"
        for package in packages
        for flaw in package.get("vulns", [])
    ]
    audited = len(packages) - len(skipped)
    if found:
        return 1, "\n".join([*found, f"VULNERABLE: {len(found)} known in {audited} packages"])
    if not audited:
        return 0, f"NOT AUDITED: the index answers for none of the {len(packages)} packages (a mirror?)"
    unknown = f"; not audited: {', '.join(skipped)}" if skipped else ""
    return 0, f"audited: no vulnerability is known in {audited} packages{unknown}"


def main() -> int:
    """Run pip-audit and print the verdict."""
    command = [sys.argv[1], "--path", sys.argv[2], "--format", "json", "--progress-spinner", "off"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    code, text = verdict(done.stdout, done.stderr)
    print(text)
    return code


if __name__ == "__main__":
    sys.exit(main())
