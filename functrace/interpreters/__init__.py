"""One transformation a file, each headed Tracer / Trace / jaxpr to jaxpr."""
