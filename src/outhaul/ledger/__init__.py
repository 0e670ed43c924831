"""Our own database: what is true about exports, parts, fragments, snapshots, tokens and events."""
