from . import analyses as analyses
from . import anchors as anchors
from . import arithmetic as arithmetic
from . import charts as charts
from . import diagnostics as diagnostics
from . import labels as labels
from . import learn as learn
from . import metrics as metrics
from . import numerics as numerics
from . import plots as plots
from . import probes as probes
from . import projection as projection
from . import readouts as readouts
from . import report as report
from . import statistics as statistics
from . import stitching as stitching
from . import tables as tables
from . import testing as testing
from .analyses import compare as compare
from .analyses import sweep as sweep
from .analyses import train as train
from .tables import EmbeddingTable as EmbeddingTable
from .tables import embed as embed
from .tables import load as load
from .tables import pair as pair

__version__: str
