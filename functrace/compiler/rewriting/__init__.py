"""jaxpr -> jaxpr: what simplifies a program before anything is planned."""
