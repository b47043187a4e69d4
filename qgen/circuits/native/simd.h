// Vectors of the compiler's own types, as wide as the instruction set that this copy of the library is built for.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#define QGEN_VECTOR_BYTES 64
#elif defined(__AVX__)
#define QGEN_VECTOR_BYTES 32
#else
#define QGEN_VECTOR_BYTES 16
#endif

#define QGEN_INLINE inline __attribute__((always_inline))

namespace qgen {

template <class T>
struct Word;
template <>
struct Word<float> {
  using Int = int32_t;
};
template <>
struct Word<double> {
  using Int = int64_t;
};

template <class T>
struct Simd {
  static constexpr int width = QGEN_VECTOR_BYTES / sizeof(T);
  static constexpr int log_width = width == 16 ? 4 : width == 8 ? 3 : width == 4 ? 2 : 1;
  typedef T Vec __attribute__((vector_size(QGEN_VECTOR_BYTES)));
  typedef typename Word<T>::Int Ints __attribute__((vector_size(QGEN_VECTOR_BYTES)));
};

template <class T>
using Vec = typename Simd<T>::Vec;
template <class T>
using Ints = typename Simd<T>::Ints;

template <class T>
QGEN_INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};
}

template <class T>
QGEN_INLINE Ints<T> as_ints(Vec<T> x) {
  return (Ints<T>)x;
}

template <class T>
QGEN_INLINE Vec<T> select(Ints<T> mask, Vec<T> yes, Vec<T> no) {
  return (Vec<T>)((mask & (Ints<T>)yes) | (~mask & (Ints<T>)no));
}

template <class T>
QGEN_INLINE Vec<T> magnitude(Vec<T> x) {
  return select<T>(x < Vec<T>{}, -x, x);
}

template <class T>
inline Ints<T> lane_numbers() {
  Ints<T> n{};
  for (int l = 0; l < Simd<T>::width; ++l) n[l] = l;
  return n;
}

// All bits set in the lanes whose number holds all bits of `bits`.
template <class T>
inline Ints<T> lanes_with(uint64_t bits) {
  Ints<T> mask{};
  for (int l = 0; l < Simd<T>::width; ++l) mask[l] = (static_cast<uint64_t>(l) & bits) == bits ? -1 : 0;
  return mask;
}

template <class T>
inline T lane_sum(Vec<T> x) {
  double total = 0;
  for (int l = 0; l < Simd<T>::width; ++l) total += static_cast<double>(x[l]);
  return static_cast<T>(total);
}

template <class T, int D, int... L>
QGEN_INLINE Vec<T> xor_lanes_(Vec<T> x, std::integer_sequence<int, L...>) {
#if defined(__clang__) || __GNUC__ >= 12
  return __builtin_shufflevector(x, x, (L ^ D)...);
#else
  return __builtin_shuffle(x, Ints<T>{(L ^ D)...});
#endif
}

// Lane l of the result is lane l ^ D.
template <class T, int D>
QGEN_INLINE Vec<T> xor_lanes(Vec<T> x) {
  return xor_lanes_<T, D>(x, std::make_integer_sequence<int, Simd<T>::width>{});
}

// Lane l of the result is lane place[l] of (a, b).
template <class T>
QGEN_INLINE Vec<T> pick(Vec<T> a, Vec<T> b, Ints<T> place) {
#if defined(__clang__)
  T both[2 * Simd<T>::width];
  std::memcpy(both, &a, sizeof a);
  std::memcpy(both + Simd<T>::width, &b, sizeof b);
  Vec<T> found;
  for (int l = 0; l < Simd<T>::width; ++l) found[l] = both[place[l]];
  return found;
#else
  return __builtin_shuffle(a, b, place);
#endif
}

template <class T>
QGEN_INLINE Vec<T> pick(Vec<T> a, Ints<T> place) {
#if defined(__clang__)
  return pick<T>(a, a, place);
#else
  return __builtin_shuffle(a, place);
#endif
}

// Sine and cosine. The range is reduced by pi/2 in three parts whose products with the quotient are exact.
template <class T>
struct Trig;

template <>
struct Trig<float> {
  static constexpr float limit = 4e4f, round = 12582912.0f, two_over_pi = 0.636619772367581343f;
  static constexpr float part1 = 1.5703125f, part2 = 4.837512969970703125e-4f, part3 = 7.549789954891882e-8f;
  static QGEN_INLINE Vec<float> sine(Vec<float> z) {
    return ((1.0f / 362880 * z - 1.0f / 5040) * z + 1.0f / 120) * z - 1.0f / 6;
  }
  static QGEN_INLINE Vec<float> cosine(Vec<float> z) {
    return (((1.0f / 40320) * z - 1.0f / 720) * z + 1.0f / 24) * z - 0.5f;
  }
};

template <>
struct Trig<double> {
  static constexpr double limit = 1e6, round = 6755399441055744.0, two_over_pi = 0.63661977236758134308;
  static constexpr double part1 = 0x1.921fb54400000p+0, part2 = 0x1.0b4611a600000p-34, part3 = 0x1.3198a2e037073p-69;
  static QGEN_INLINE Vec<double> sine(Vec<double> z) {
    return (((((((1.0 / 355687428096000 * z - 1.0 / 1307674368000) * z + 1.0 / 6227020800) * z - 1.0 / 39916800) * z +
               1.0 / 362880) * z - 1.0 / 5040) * z + 1.0 / 120) * z) - 1.0 / 6;
  }
  static QGEN_INLINE Vec<double> cosine(Vec<double> z) {
    return (((((((1.0 / 20922789888000 * z - 1.0 / 87178291200) * z + 1.0 / 479001600) * z - 1.0 / 3628800) * z +
               1.0 / 40320) * z - 1.0 / 720) * z + 1.0 / 24) * z) - 0.5;
  }
};

// Angles beyond Trig::limit go to the C library (`wide`), one by one.
template <class T>
QGEN_INLINE void sincos(Vec<T> x, bool wide, Vec<T>& s, Vec<T>& c) {
  if (__builtin_expect(wide, 0)) {
    for (int l = 0; l < Simd<T>::width; ++l) {
      s[l] = std::sin(x[l]);
      c[l] = std::cos(x[l]);
    }
    return;
  }
  using R = Trig<T>;
  const Vec<T> rounded = x * R::two_over_pi + R::round;
  const Ints<T> quarter = as_ints<T>(rounded);
  const Vec<T> k = rounded - R::round;
  const Vec<T> r = ((x - k * R::part1) - k * R::part2) - k * R::part3;
  const Vec<T> z = r * r;
  const Vec<T> sine = r + r * z * R::sine(z);
  const Vec<T> cosine = T(1) + z * R::cosine(z);
  const Ints<T> swap = -(quarter & 1);
  constexpr int top = 8 * sizeof(T) - 2;
  s = (Vec<T>)(as_ints<T>(select<T>(swap, cosine, sine)) ^ ((quarter & 2) << top));
  c = (Vec<T>)(as_ints<T>(select<T>(swap, sine, cosine)) ^ (((quarter + 1) & 2) << top));
}

}  // namespace qgen
