"""A running service as Python sees it: ask for exports, follow them, bring their proven files here or into Arrow.

It speaks the dialect of Commerce Layer's exports, waits as long as a service that is busy asks for, and goes on by
itself when a connection breaks. Whatever goes wrong is an error of `outhaul.errors`.
"""

from outhaul.client.asking import Client
from outhaul.client.fetching import Downloaded
from outhaul.client.wire import Export

__all__ = ["Client", "Downloaded", "Export"]
