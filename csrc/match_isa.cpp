// Token matching: one image a thread, or the sources of one image where there are fewer images.
#include "match_nearest.h"
#include "match_plan.h"
#include "parallel.h"
#include "tokens.h"

namespace RM_NS {

void match(const MatchArgs& a) {
  const long floats = lay_out(a, nullptr, nullptr);
  const double image = 0.012 * a.free * a.free / 4 * a.width + 40. * a.tokens;
  const int threads = worth_threads(a.threads, image * a.batch);
  const bool split = a.batch < threads;  // the sources of one image, rather than the images
  float* base = rmeeto::arena(floats * (split ? 1 : threads));
  if (!split)
    return parallel_for(a.batch, threads, [&](long b, int thread) {
      FlushToZero flush;
      Scratch s;
      lay_out(a, base + thread * floats, &s);
      prepare(a, b, s);
      nearest(a, s, 0, round_up(s.sources, kRows));
      rank(s);
      write_plan(a, b, s);
    });
  FlushToZero flush;
  Scratch s;
  lay_out(a, base, &s);
  for (long b = 0; b < a.batch; ++b) {
    prepare(a, b, s);
    const long all = round_up(s.sources, kRows), share = round_up(all / threads + 1, kRows);
    parallel_for((all + share - 1) / share, threads, [&](long unit, int) {
      FlushToZero in_this_thread;
      nearest(a, s, unit * share, (unit + 1) * share < all ? (unit + 1) * share : all);
    });
    rank(s);
    write_plan(a, b, s);
  }
}

}  // namespace RM_NS
