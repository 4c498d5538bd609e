"""From a jaxpr to machine code: one stage a file, in pipeline order."""
