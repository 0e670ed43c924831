"""The tongues we speak: one sibling per wire contract."""
