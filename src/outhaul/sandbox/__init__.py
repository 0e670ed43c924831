"""A ready-made shop with credentials, to try clients of the export service against."""
