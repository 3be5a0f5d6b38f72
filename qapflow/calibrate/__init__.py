"""A user's own reports: how wrong the estimates were, and a calibration that knows them."""
