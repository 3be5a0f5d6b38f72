"""C identifiers for the edges of a network."""

from __future__ import annotations

import re
from collections.abc import Iterable

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

# Names that hls4ml's templates generate for configurations, weights and layers.
_GENERATED = re.compile(
    r"(w|b|s|t|v|o|lower|upper|step|view|layer|bias|weight)\d+(_.*)?|config[\d_].*|.*_t",
    re.IGNORECASE,
)

_WORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t
    class compl const constexpr const_cast continue decltype default delete do double dynamic_cast
    else enum explicit export extern false float for friend goto if inline int long mutable
    namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual
    void volatile wchar_t while xor xor_eq
    main nnet qapflow hls std min max array stream entity architecture begin end signal process
    module input output inout reg wire always assign initial integer real time event index result
    errno stdin stdout stderr exp log sin cos tan abs floor ceil round pow sqrt gamma y0 y1 yn
    j0 j1 jn unix linux i386 ap_start ap_done ap_idle ap_ready ap_clk ap_rst ap_rst_n ap_return
    concat
"""
_RESERVED = frozenset(_WORDS.split())


def identifier(name: str) -> str:
    """Return a C++ identifier, also safe as a Verilog port, that resembles `name`."""
    text = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9]", "_", name)).strip("_")
    text = text[:58].rstrip("_")
    if not _IDENTIFIER.fullmatch(text):
        text = f"x_{text}".rstrip("_")
    if text.lower() in _RESERVED or text.isupper() or _GENERATED.fullmatch(text):
        text += "_x"
    return text


def unique_identifiers(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Map every name to an identifier of its own, different even when case is ignored."""
    used = {name.lower() for name in taken}
    found: dict[str, str] = {}
    for name in names:
        if name in found:
            continue
        base = identifier(name)
        candidate, number = base, 2
        while candidate.lower() in used:
            candidate, number = f"{base}_{number}", number + 1
        used.add(candidate.lower())
        found[name] = candidate
    return found


def is_identifier(name: str) -> bool:
    """Tell whether `name` can be the name of a top function."""
    return bool(_IDENTIFIER.fullmatch(name)) and identifier(name) == name
