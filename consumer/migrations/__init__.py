"""Migrations of the consumer's tables: each revision under `versions` runs one SQL file here."""
