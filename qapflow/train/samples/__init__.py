"""The samples of a training: read, checked, labelled, divided and scaled."""
