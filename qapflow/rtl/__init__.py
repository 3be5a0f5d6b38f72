"""Verilog and VHDL without a vendor tool: the integer network walked over symbolic arrays."""
