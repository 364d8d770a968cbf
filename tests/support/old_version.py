"""An earlier version of this program, unpacked from the history, to run beside the present one."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.support.commands import ROOT
from tests.support.programs import leave_out

#: The last commit before the tree was moved into packages.
OLD_COMMIT = "0bc9c89"


def unpack_old_version(folder: Path) -> Path:
    """Unpack the old package, and return the folder that ``PYTHONPATH`` has to name.

    :raises unittest.SkipTest: this is no clone, or one without its history.
    """
    git = shutil.which("git")
    if git is None:
        leave_out("git")
    command = [git, "-C", str(ROOT), "archive", OLD_COMMIT, "lbcompanion"]
    packed = subprocess.run(command, capture_output=True, check=False)
    if packed.returncode:
        leave_out(f"the history of this repository, with {OLD_COMMIT}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        # Python 3.11.4 and later ask for a filter. The archive is this repository's own.
        filters: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **filters)
    return folder
