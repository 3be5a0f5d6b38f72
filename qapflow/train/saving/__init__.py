"""The end of a training: the model as a file, proved, measured."""
