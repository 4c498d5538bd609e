"""Look at what functions do, compiled ones too.

Values (``print``, ``callback``, ``breakpoint``), conditions (``check``, ``checked``), progress,
time per step, cache misses, pictures.
"""

from functrace.debug.checks import check as check
from functrace.debug.floats import checked as checked
from functrace.debug.misses import explain_cache_misses as explain_cache_misses
from functrace.debug.picture import to_dot as to_dot
from functrace.debug.picture import to_svg as to_svg
from functrace.debug.printing import breakpoint as breakpoint
from functrace.debug.printing import callback as callback
from functrace.debug.printing import print as print
from functrace.debug.profile import StepProfile as StepProfile
from functrace.debug.profile import profile as profile
from functrace.debug.progress import progress as progress
