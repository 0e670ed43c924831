"""A worker: runs delivered parts one after the other, each under a lease; `python -m outhaul.worker`."""
