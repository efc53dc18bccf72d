// A loop over independent units of work. Results must not depend on which thread runs which unit.
#pragma once
#include "isa.h"
#ifdef _OPENMP
#include <omp.h>
#endif

namespace RM_NS {

// Threads worth using for `work` (about nanoseconds of single-thread time) out of `threads` allowed.
static inline int worth_threads(int threads, double work) {
  const double each = 60e3;  // below this a second thread costs more to wake than it saves
  const double useful = work / each;
  return useful < threads ? (useful < 1 ? 1 : static_cast<int>(useful)) : threads;
}

// Calls body(unit, thread) for unit = 0 … units-1 with 0 <= thread < threads.
template <class Body>
static inline void parallel_for(long units, int threads, const Body& body) {
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (long unit = 0; unit < units; ++unit) body(unit, omp_get_thread_num());
    return;
  }
#endif
  (void)threads;
  for (long unit = 0; unit < units; ++unit) body(unit, 0);
}

}  // namespace RM_NS
