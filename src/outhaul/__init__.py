"""Outhaul: every matching row, exactly once, as of one instant, with proof."""
