"""Migration of an index to another model: searches go on while its texts are embedded again."""

from minnow.migration.loss import Loss
from minnow.migration.running import MigrationReport, cancel_migration, migrate, migrate_store

__all__ = ["Loss", "MigrationReport", "cancel_migration", "migrate", "migrate_store"]
