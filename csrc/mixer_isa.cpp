// The mixer alone: its input and output are in memory, projected by others.
#include "mixer_forward.h"

namespace RM_NS {

void mixer_forward(const MixerArgs& given) {
  MixerArgs a = given;
  a.out_batch = a.length * a.channels;
  a.half ? mix_any<bf16>(a, NoEnds{}, 0) : mix_any<float>(a, NoEnds{}, 0);
}

}  // namespace RM_NS
