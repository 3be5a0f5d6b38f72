"""Bits x sparsity x method on one data set: accuracy against cost, every point trained."""
