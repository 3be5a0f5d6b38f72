"""Existing hls4ml project directories as networks and plans."""

from __future__ import annotations

from qapflow.importer.project import Imported, import_net, import_project, read_project

__all__ = ["Imported", "import_net", "import_project", "read_project"]
