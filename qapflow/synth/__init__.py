"""Run the vendor's tools, read their reports, explain their failures."""
