"""Engines that turn texts into logits, behind one small protocol."""

from textdetect.model.runtimes.protocol import Runtime, StubRuntime

__all__ = ["Runtime", "StubRuntime"]
