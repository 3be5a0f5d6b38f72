"""Ports of a core, and names that Verilog, VHDL and C++ all take."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from qapflow.ir.net import Net
from qapflow.lower.names import unique_identifiers
from qapflow.rtl.design import Port

# IEEE 1364-2005, IEEE 1800-2017 and IEEE 1076-2008, without those that C++ has too.
_WORDS = """
    abs accept_on access after alias all always always_comb always_ff always_latch architecture
    array assert assign assume attribute automatic before begin bind bins binsof bit block body buf
    buffer bufif0 bufif1 bus byte casex casez cell chandle checker clocking cmos component config
    configuration constant constraint context cover covergroup coverpoint cross deassign default
    defparam design disable disconnect dist downto edge elsif end endcase endchecker endclass
    endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage
    endprimitive endprogram endproperty endsequence endspecify endtable endtask entity event
    eventually exit expect extends fairness file final first_match force foreach forever fork
    forkjoin function generate generic genvar global group guarded highz0 highz1 iff ifnone
    ignore_bins illegal_bins implements implies import impure in incdir include inertial initial
    inout input inside instance integer interconnect interface intersect is join join_any join_none
    label large let liblist library linkage literal loop local localparam logic longint macromodule
    map matches medium mod modport module nand negedge nettype nexttime nmos nor noshowcancelled
    notif0 notif1 null of on open others out output package packed parameter pmos port posedge
    postponed primitive priority procedure process program property protected pull0 pull1 pulldown
    pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence range rcmos
    real realtime record ref reg reject reject_on rel rem release repeat report restrict rnmos rol
    ror rpmos rtran rtranif0 rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared
    select sequence severity shared shortint shortreal showcancelled signal sla sll small soft solve
    specify specparam sra srl string strong strong0 strong1 subtype supply0 supply1 sync_accept_on
    sync_reject_on table tagged task then throughout time timeprecision timeunit to tran tranif0
    tranif1 transport tri tri0 tri1 triand trior trireg type unaffected unique unique0 units until
    until_with untyped use uwire var variable vectored virtual vmode vprop vunit wait wait_order
    wand weak weak0 weak1 when wildcard wire with within wone wor work xnor
"""
KEYWORDS = frozenset(_WORDS.split())


def module_name(name: str) -> str:
    """Return a module name that resembles `name` and is a keyword nowhere, whatever the case."""
    (found,) = unique_identifiers([name], KEYWORDS).values()
    return found


def part_names(layers: Iterable[str]) -> tuple[str, ...]:
    """Return identifiers for layers, which may repeat; they only ever follow a prefix."""
    kept = [f"{number}:{name}" for number, name in enumerate(layers)]
    plain = unique_identifiers({name.partition(":")[2] for name in kept})
    found, seen = [], set[str]()
    for number, name in enumerate(kept):
        text = plain[name.partition(":")[2]]
        while text.lower() in seen:
            text = f"{text}_{number}"
        seen.add(text.lower())
        found.append(text)
    return tuple(found)


def make_ports(net: Net) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return input and output ports of a core that takes and gives whole samples."""
    ins = [node.name for node in net.inputs]
    outs = list(dict.fromkeys(net.outputs))
    fresh = [name for name in outs if name not in ins]
    names = unique_identifiers(chain(ins, fresh), KEYWORDS)
    # An output that is an input as well has a port of its own.
    both = unique_identifiers(
        (f"{name}_out" for name in outs if name in ins), chain(KEYWORDS, names.values())
    )
    inputs = tuple(_port(net, name, names[name]) for name in ins)
    outputs = tuple(
        _port(net, name, both[f"{name}_out"] if name in ins else names[name]) for name in outs
    )
    return inputs, outputs


def _port(net: Net, edge: str, name: str) -> Port:
    return Port(name, edge, net.edge(edge).type, net.edge(edge).shape)
