"""The integer network: types, operations, ranges, and the interpreter that defines it."""
