"""Corpora in Arrow tables and Parquet files, embedded on one machine or many; see docs/cluster.md.

`embed_table` embeds a table in memory, `embed_folder` the Parquet files of a folder, on this
machine or on Ray. `minnow.cluster.ray` and `minnow.cluster.spark` are for data sets of these
engines. All of them run `BlockRunner` on blocks of rows.
"""

from minnow.cluster.folder import FolderReport, embed_folder
from minnow.cluster.job import Job
from minnow.cluster.runner import BlockRunner, embed_table

__all__ = ["BlockRunner", "FolderReport", "Job", "embed_folder", "embed_table"]
