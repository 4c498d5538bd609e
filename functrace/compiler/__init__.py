"""From a jaxpr to machine code: one stage a file, in the order ``pipeline.py`` lists.

``ir`` holds the typed kernel IR that ``codegen`` builds, ``emit`` its two printers, ``runtime``
what builds, keeps and runs native code.
"""
