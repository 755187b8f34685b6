"""Lowering: from a Relax module to fused kernels, and from kernels to machine code."""
