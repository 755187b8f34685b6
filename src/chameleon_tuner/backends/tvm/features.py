"""Vector extensions of this machine's CPU, by LLVM's names; this needs no TVM."""

from __future__ import annotations

from chameleon_tuner.system.machine import cpu_flags

# LLVM's names of instruction set extensions, by the Linux kernel's name where that differs.
_LLVM_NAMES = {
    "avx512_vnni": "avx512vnni",
    "avx512_bf16": "avx512bf16",
    "avx512_fp16": "avx512fp16",
    "avx512_bitalg": "avx512bitalg",
    "avx512_vbmi2": "avx512vbmi2",
    "avx512_vpopcntdq": "avx512vpopcntdq",
    "avx_vnni": "avxvnni",
    "pni": "sse3",
    "sse4_1": "sse4.1",
    "sse4_2": "sse4.2",
    "amx_tile": "amx-tile",
    "amx_int8": "amx-int8",
    "amx_bf16": "amx-bf16",
}
VECTOR_PREFIXES = ("avx", "sse", "fma", "f16c", "amx", "neon", "sve", "asimd")
"""How the names of vector extensions begin."""


def host_features() -> frozenset[str]:
    """Return this CPU's vector extensions; empty if the system reports none."""
    return frozenset(
        name
        for name in (_LLVM_NAMES.get(flag, flag) for flag in cpu_flags())
        if name.startswith(VECTOR_PREFIXES)
    )


def cpu_flag(feature: str) -> str:
    """Return the Linux kernel's name of an extension."""
    return next((flag for flag, name in _LLVM_NAMES.items() if name == feature), feature)
