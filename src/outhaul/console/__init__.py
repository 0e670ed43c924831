"""The console: pages for people, made on the server.

Whatever reads and downloads works without JavaScript; with it, what is on a page stays true by itself."""

from outhaul.console.register import PLACES as REGISTER
from outhaul.console.register import routes as registered
from outhaul.console.routes import PREFIX, build

__all__ = ["PREFIX", "REGISTER", "build", "registered"]
