"""A software bill of materials and an audit of the locked versions, before a release.

Writes ``build/sbom.cdx.json`` (CycloneDX) of the environment that ``make setup`` made, and asks PyPI's advisory
database about each pin of ``constraints.txt``. It fails for a known vulnerability, and where a package could not be
looked up: an audit that saw nothing is no audit. The tools have an environment of their own, ``build/release-env``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
TOOLS = ("cyclonedx-bom>=7", "pip-audit>=2.9")


def main() -> int:
    """Returns: 0 if nothing is known against any version; 1 otherwise, or if that could not be found out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the environment to list (default: this one)")
    parser.add_argument("--service", default="pypi", choices=("pypi", "osv"), help="where advisories are looked up")
    given = parser.parse_args()
    tools = _tools()
    bill = BUILD / "sbom.cdx.json"
    listed = _bill(tools, given.python, bill)
    print(f"{bill.relative_to(ROOT)}: {listed} packages (CycloneDX)")
    return _audit(tools, given.service)


def _tools() -> Path:
    """The folder of the tools' programs, which are installed the first time."""
    folder = BUILD / "release-env"
    programs = folder / ("Scripts" if sys.platform == "win32" else "bin")
    if not any(programs.glob("pip-audit*")):
        venv.create(folder, with_pip=True)
        install = [programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS]
        subprocess.run(install, check=True)
    return programs


def _bill(tools: Path, python: str, bill: Path) -> int:
    """Write the bill of materials; returns the number of packages in it."""
    command = [tools / "cyclonedx-py", "environment", python, "--pyproject", ROOT / "pyproject.toml"]
    subprocess.run([*command, "--output-reproducible", "--of", "JSON", "-o", bill], check=True)
    return len(json.loads(bill.read_text(encoding="utf-8"))["components"])


def _audit(tools: Path, service: str) -> int:
    """Look up the pins, and say what is known against them; returns the exit code."""
    # The pins are complete: nothing is resolved, and so nothing is downloaded. Markers would leave out what another
    # Python has.
    pins = BUILD / "pins.txt"
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins.write_text("".join(line.partition(";")[0] + "\n" for line in lines), encoding="utf-8")
    command = [tools / "pip-audit", "-r", pins, "--no-deps", "--disable-pip", "--format", "json", "-s", service]
    done = subprocess.run([*command, "--progress-spinner", "off"], capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        last = done.stderr.strip().splitlines()[-1:] or ["it gave no reason"]
        print(f"error: pip-audit could not ask the advisory service ({service}): {last[0]}", file=sys.stderr)
        return 1
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    found = [(package, known) for package in packages for known in package.get("vulns", ())]
    for package, known in found:
        fixed = ", ".join(known.get("fix_versions") or ()) or "no version"
        print(f"{package['name']} {package['version']}: {known['id']}, fixed in {fixed}")
    print(f"audited {len(packages) - len(unknown)} of {len(packages)} packages: {len(found)} known vulnerabilities")
    if unknown:
        what = f"error: the advisory service ({service}) did not answer for {len(unknown)} packages: "
        print(what + ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else ""), file=sys.stderr)
        print("    run this where PyPI itself can be reached, not through a mirror without advisories", file=sys.stderr)
    return 1 if found or unknown else 0


if __name__ == "__main__":
    sys.exit(main())
