"""Reports: a self-contained HTML file of results, with their numbers and figures as files.

`report.html` needs no network: style, script, plotly and all data are inside. It opens on the verdict in plain
sentences, and goes from there to figures, tables, and the origin of every number. Neither matplotlib nor plotly is
imported for verdicts and tables.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
