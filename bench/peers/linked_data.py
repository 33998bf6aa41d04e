"""A data set that the peer may write beside: links to its files, in a folder that goes with the process."""

import os
import shutil
import tempfile

_scratch = tempfile.TemporaryDirectory()


def linked_copy(description, kept=None):
    """Changes to the copy's folder, because `path: .` in a data.yaml means its own folder to Mezzo, the working
    folder to the peer; returns the path of the copied data.yaml. The peer writes caches beside the labels: in a folder
    `kept` they are there at the next start."""
    source = os.path.abspath(description)
    folder = os.path.join(kept or _scratch.name, "data")
    if not os.path.exists(folder):
        shutil.copytree(os.path.dirname(source), folder, copy_function=os.symlink)
    os.chdir(folder)
    return os.path.join(folder, os.path.basename(source))
