// Instruction-set choice and scratch memory. Compiled once, for the baseline CPU.
#include "isa.h"

#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <new>

namespace rmeeto {
namespace {

const char* const kNames[] = {"generic", "avx2", "avx512"};
bool g_poison = false;

Isa best() {
  if (isa_available(kAvx512)) return kAvx512;
  return isa_available(kAvx2) ? kAvx2 : kGeneric;
}

Isa& current() {
  static Isa chosen = best();
  return chosen;
}

struct Arena {
  float* data = nullptr;
  std::size_t size = 0;
  ~Arena() { std::free(data); }
};

}  // namespace

Isa isa() { return current(); }

const char* isa_name(Isa which) { return kNames[which]; }

bool isa_available(Isa which) {
  if (which == kGeneric) return true;
#if RM_X86
  __builtin_cpu_init();
  if (which == kAvx2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
  return isa_available(kAvx2) && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
  return false;
#endif
}

bool set_isa(const char* name) {
  for (Isa which : {kGeneric, kAvx2, kAvx512})
    if (std::strcmp(name, kNames[which]) == 0 && isa_available(which)) {
      current() = which;
      return true;
    }
  return false;
}

float* arena(std::size_t floats) {
  static thread_local Arena own;
  if (own.size < floats) {
    const std::size_t bytes = (floats * sizeof(float) + 4095) / 4096 * 4096;
    void* fresh = std::aligned_alloc(4096, bytes);
    if (!fresh) throw std::bad_alloc();
    std::free(own.data);
    own.data = static_cast<float*>(fresh);
    own.size = bytes / sizeof(float);
  }
  if (g_poison)
    for (std::size_t i = 0; i < own.size; ++i) own.data[i] = std::numeric_limits<float>::quiet_NaN();
  return own.data;
}

void set_poison(bool on) { g_poison = on; }

}  // namespace rmeeto
