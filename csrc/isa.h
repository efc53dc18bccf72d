// One kernel, several instruction sets: declares a kernel once per set and calls the chosen one.
#pragma once
#include <cstddef>

namespace rmeeto {

enum Isa { kGeneric, kAvx2, kAvx512 };

Isa isa();                          // the set in use
const char* isa_name(Isa which);    // "generic", "avx2", "avx512"
bool isa_available(Isa which);      // compiled in, and this CPU has it
bool set_isa(const char* name);     // false when it is not available

// At least `floats` floats of 64-byte aligned scratch, owned by the calling thread and reused by its
// next call. Take it once, before any parallel region. Throws std::bad_alloc.
float* arena(std::size_t floats);
void set_poison(bool on);           // tests: fill every arena with NaN before it is handed out

}  // namespace rmeeto

#if RM_X86
#define RM_KERNEL(name, Args)                                  \
  namespace rm_generic { void name(const Args&); }             \
  namespace rm_avx2 { void name(const Args&); }                \
  namespace rm_avx512 { void name(const Args&); }              \
  namespace rmeeto {                                           \
  inline void name(const Args& args) {                         \
    switch (isa()) {                                           \
      case kAvx512: return rm_avx512::name(args);              \
      case kAvx2: return rm_avx2::name(args);                  \
      default: return rm_generic::name(args);                  \
    }                                                          \
  }                                                            \
  }
#else
#define RM_KERNEL(name, Args)                                  \
  namespace rm_generic { void name(const Args&); }             \
  namespace rmeeto {                                           \
  inline void name(const Args& args) { rm_generic::name(args); } \
  }
#endif

// Namespace of the instruction set a `*_isa.cpp` is being compiled for.
#define RM_CAT_(a, b) a##b
#define RM_CAT(a, b) RM_CAT_(a, b)
#define RM_NS RM_CAT(rm_, RM_ISA)
