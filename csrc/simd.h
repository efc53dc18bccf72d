// Vectors of W floats for the instruction set this file is compiled for, and the maths on them.
// No std:: here: its templates are weak symbols, and the linker could keep the AVX-512 copy for every CPU.
#pragma once
#include <cstdint>
#include <cstring>

#include "isa.h"
#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

#define RM_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define RM_UNROLL _Pragma("unroll")
#define RM_PICK(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)  // lanes of two vectors
#else
#define RM_UNROLL _Pragma("GCC unroll 16")
#define RM_PICK(a, b, ...) __builtin_shuffle(a, b, vi{__VA_ARGS__})
#endif

namespace RM_NS {

#if defined(__AVX512F__)
enum { W = 16 };
#elif defined(__AVX2__)
enum { W = 8 };
#else
enum { W = 4 };
#endif
typedef float vf __attribute__((vector_size(W * 4)));
typedef std::int32_t vi __attribute__((vector_size(W * 4)));
typedef std::uint32_t vu __attribute__((vector_size(W * 4)));
typedef std::uint16_t vh __attribute__((vector_size(W * 2)));
typedef std::uint16_t bf16;  // the upper half of a float

// ---- load and store: W values, or the first n (0 <= n <= W; the rest of a loaded vector is zero)

RM_INLINE vf set1(float x) { return x - vf{}; }
RM_INLINE vf widen(vh v) { return (vf)(__builtin_convertvector(v, vu) << 16); }
RM_INLINE vh narrow(vf v) {  // round to nearest even; NaN stays NaN
  const vu u = (vu)v, r = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  return __builtin_convertvector((vu)(v == v ? (vi)r : (vi)(vu{} + 0x7fc0)), vh);
}

RM_INLINE vf load(const float* p) {
  vf v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
RM_INLINE vf load(const bf16* p) {
  vh v;
  std::memcpy(&v, p, sizeof v);
  return widen(v);
}
RM_INLINE void store(float* p, vf v) { std::memcpy(p, &v, sizeof v); }
RM_INLINE void store(bf16* p, vf v) {
  const vh h = narrow(v);
  std::memcpy(p, &h, sizeof h);
}

RM_INLINE vf load(const float* p, int n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
  vf v{};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
RM_INLINE vf load(const bf16* p, int n) {
  vh v{};
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return widen(v);
}
RM_INLINE void store(float* p, vf v, int n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}
RM_INLINE void store(bf16* p, vf v, int n) {
  const vh h = narrow(v);
  for (int i = 0; i < n; ++i) p[i] = h[i];
}
RM_INLINE float to_float(float x) { return x; }
RM_INLINE float to_float(bf16 x) {
  const std::uint32_t u = (std::uint32_t)x << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}
RM_INLINE void from_float(float x, float* p) { *p = x; }
RM_INLINE void from_float(float x, bf16* p) {
  std::uint32_t u;
  std::memcpy(&u, &x, 4);
  *p = x == x ? (bf16)((u + 0x7fff + ((u >> 16) & 1)) >> 16) : (bf16)0x7fc0;
}

// ---- arithmetic

// Largest and smallest of a bound and x; a NaN in x comes through.
RM_INLINE vf at_least(float low, vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_max_ps((__m512)set1(low), (__m512)x);
#elif defined(__AVX2__)
  return (vf)_mm256_max_ps((__m256)set1(low), (__m256)x);
#elif defined(__SSE2__)
  return (vf)_mm_max_ps((__m128)set1(low), (__m128)x);
#else
  return x < low ? set1(low) : x;
#endif
}
RM_INLINE vf at_most(float high, vf x) {
#if defined(__AVX512F__)
  return (vf)_mm512_min_ps((__m512)set1(high), (__m512)x);
#elif defined(__AVX2__)
  return (vf)_mm256_min_ps((__m256)set1(high), (__m256)x);
#elif defined(__SSE2__)
  return (vf)_mm_min_ps((__m128)set1(high), (__m128)x);
#else
  return x > high ? set1(high) : x;
#endif
}
RM_INLINE vf abs(vf x) { return (vf)((vi)x & 0x7fffffff); }
RM_INLINE vf select(vi where, vf yes, vf no) { return where ? yes : no; }

// 2^x to 1.6e-7 relative, much better near x = 0: scans multiply decays of almost one thousands of times.
// 0 (or 2^-126) far below, inf (or nearly) above 128. Reduction to [-1/2, 1/2], minimax of degree 5.
RM_INLINE vf exp2(vf x) {
#if defined(__AVX512F__)
  const vf r = (vf)_mm512_reduce_ps((__m512)x, 0x08), whole = x - r;
#else
  x = at_most(127.999f, at_least(-126.f, x));
  const vf magic = set1(12582912.f), shifted = x + magic;  // 1.5 * 2^23: rounds to an integer
  const vf r = x - (shifted - magic);
#endif
  vf p = 1.326471999445177e-3f * r + 9.67151248414893e-3f;
  p = p * r + 5.5507337606088294e-2f;
  p = p * r + 2.402224208760715e-1f;
  p = p * r + 6.931469775907456e-1f;
  p = p * r + 1.f;
#if defined(__AVX512F__)
  return (vf)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
  return (vf)((vu)p + ((vu)shifted << 23));
#endif
}
RM_INLINE vf exp(vf x) { return exp2(at_most(88.7f, x) * 1.442695041f); }

RM_INLINE vf rcp(vf x) {
#if defined(__AVX512F__)
  const vf r = (vf)_mm512_rcp14_ps((__m512)x);
  return r * (2.f - x * r);
#else
  return 1.f / x;
#endif
}
RM_INLINE vf sigmoid(vf x) { return rcp(1.f + exp(-at_least(-80.f, x))); }

// log(1 + e^x) and its derivative, sigmoid(x). log1p by the series of 2 atanh(t / (t + 2)).
RM_INLINE vf softplus(vf x, vf* derivative) {
  const vf t = exp(-abs(x)), s = t * rcp(t + 2.f), q = s * s;
  vf p = (1.f / 13) * q + 1.f / 11;
  p = p * q + 1.f / 9;
  p = p * q + 1.f / 7;
  p = p * q + 1.f / 5;
  p = p * q + 1.f / 3;
  p = p * q + 1.f;
  if (derivative) *derivative = select(x > 0.f, set1(1.f), t) * rcp(1.f + t);
  return at_least(0.f, x) + 2.f * s * p;
}
RM_INLINE vf softplus(vf x) { return softplus(x, nullptr); }

// Sum of the lanes, always in the same order.
RM_INLINE float hsum(vf v) {
  float lane[W];
  std::memcpy(lane, &v, sizeof v);
  for (int half = W / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
  return lane[0];
}

// ---- denormals count as zero while one of these is alive (each thread has its own setting)

class FlushToZero {
 public:
#if defined(__SSE2__)
  FlushToZero() : old_(_mm_getcsr()) { _mm_setcsr(old_ | 0x8040); }
  ~FlushToZero() { _mm_setcsr(old_); }

 private:
  unsigned old_;
#elif defined(__aarch64__)
  FlushToZero() {
    asm volatile("mrs %0, fpcr" : "=r"(old_));
    asm volatile("msr fpcr, %0" ::"r"(old_ | (1ull << 24)));
  }
  ~FlushToZero() { asm volatile("msr fpcr, %0" ::"r"(old_)); }

 private:
  std::uint64_t old_;
#endif
};

}  // namespace RM_NS
