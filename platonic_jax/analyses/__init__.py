"""Analyses: embedding tables in, a `Result` out.

Each analysis is one module or package of the same name: what it computes here, its words, tables and charts in
`report.presenters`, its arguments in `cli`. `ANALYSES` lists them; the command line, studies, JSON schemas and reports
are made from it. Nothing is imported before it is used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
