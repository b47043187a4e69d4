// Two-by-two real matrices on many bits of a state, and the Walsh-Hadamard transform, which has the same shape.
//
// A plane is an array of 2**bits vectors: the real or the imaginary part. Bits below `low` of an amplitude's index lie
// inside a vector. Passes over low bits run tile by tile, so that a tile stays in the first-level cache.
#pragma once

#include "simd.h"
#include "team.h"

namespace qgen {

constexpr int kTileBits = 8;      // vectors in a tile for the first-level cache, log2
constexpr int kOuterBits = 13;    // vectors in a tile for the second-level cache, log2
constexpr size_t kParts = 16;     // ranges that a pass over one large state is split into
constexpr size_t kSumRun = size_t(1) << 12;  // terms that are added up one after the other in single precision
constexpr int kForwardBits = 3;   // bits per pass over vectors
constexpr int kBackwardBits = 2;  // where two states fill the registers

template <class T>
struct Matrix2 {  // [[a, b], [c, d]] on a bit
  int bit;
  Vec<T> a, b, c, d;
};

// Calls f(base) for the groups [begin, end): every index below 2**bits whose R given bits are zero.
template <int R, class F>
QGEN_INLINE void groups(size_t begin, size_t end, const int* bit, F f) {
  const size_t run = size_t(1) << bit[0];
  for (size_t g = begin; g < end;) {
    size_t base = g;
    for (int r = 0; r < R; ++r) base = ((base >> bit[r]) << (bit[r] + 1)) | (base & ((size_t(1) << bit[r]) - 1));
    const size_t count = run - (g & (run - 1)) < end - g ? run - (g & (run - 1)) : end - g;
    for (size_t k = 0; k < count; ++k) f(base + k);
    g += count;
  }
}

template <int R>
struct Offsets {
  size_t at[1 << R];
  explicit Offsets(const int* bit) {
    for (int j = 0; j < (1 << R); ++j) {
      at[j] = 0;
      for (int r = 0; r < R; ++r) at[j] |= static_cast<size_t>(j >> r & 1) << bit[r];
    }
  }
};

// Sums and differences over R bits of the vector index.
template <class T, int R>
inline void add_and_subtract(Vec<T>* x, size_t begin, size_t end, const int* bit) {
  const Offsets<R> offset(bit);
  groups<R>(begin, end, bit, [&](size_t base) __attribute__((always_inline)) {
    Vec<T> v[1 << R];
#pragma GCC unroll 16
    for (int j = 0; j < (1 << R); ++j) v[j] = x[base + offset.at[j]];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < (1 << R); ++j) {
        if (j >> r & 1) continue;
        const Vec<T> p = v[j], q = v[j | 1 << r];
        v[j] = p + q;
        v[j | 1 << r] = p - q;
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < (1 << R); ++j) x[base + offset.at[j]] = v[j];
  });
}

template <class T, int R>
inline void rotate(Vec<T>* x, size_t begin, size_t end, const Matrix2<T>* m) {
  int bit[R];
  for (int r = 0; r < R; ++r) bit[r] = m[r].bit;
  const Offsets<R> offset(bit);
  Vec<T> a[R], b[R], c[R], d[R];
  for (int r = 0; r < R; ++r) a[r] = m[r].a, b[r] = m[r].b, c[r] = m[r].c, d[r] = m[r].d;
  groups<R>(begin, end, bit, [&](size_t base) __attribute__((always_inline)) {
    Vec<T> v[1 << R];
#pragma GCC unroll 16
    for (int j = 0; j < (1 << R); ++j) v[j] = x[base + offset.at[j]];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < (1 << R); ++j) {
        if (j >> r & 1) continue;
        const int k = j | 1 << r;
        const Vec<T> p = v[j], q = v[k];
        v[j] = a[r] * p + b[r] * q;
        v[k] = c[r] * p + d[r] * q;
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < (1 << R); ++j) x[base + offset.at[j]] = v[j];
  });
}

// Applies the matrices to psi and lam; sums[r] += lam[1] psi[0] - lam[0] psi[1] over the pairs of bit r.
template <class T, int R>
inline void rotate_both(Vec<T>* psi, Vec<T>* lam, size_t begin, size_t end, const Matrix2<T>* m, Vec<T>* sums) {
  int bit[R];
  for (int r = 0; r < R; ++r) bit[r] = m[r].bit;
  const Offsets<R> offset(bit);
  Vec<T> a[R], b[R], c[R], d[R], sum[R];
  for (int r = 0; r < R; ++r) a[r] = m[r].a, b[r] = m[r].b, c[r] = m[r].c, d[r] = m[r].d, sum[r] = Vec<T>{};
  groups<R>(begin, end, bit, [&](size_t base) __attribute__((always_inline)) {
    Vec<T> v[1 << R], w[1 << R];
#pragma GCC unroll 16
    for (int j = 0; j < (1 << R); ++j) v[j] = psi[base + offset.at[j]], w[j] = lam[base + offset.at[j]];
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < (1 << R); ++j) {
        if (j >> r & 1) continue;
        const int k = j | 1 << r;
        const Vec<T> p = v[j], q = v[k], s = w[j], t = w[k];
        sum[r] += t * p - s * q;
        v[j] = a[r] * p + b[r] * q;
        v[k] = c[r] * p + d[r] * q;
        w[j] = a[r] * s + b[r] * t;
        w[k] = c[r] * s + d[r] * t;
      }
    }
#pragma GCC unroll 16
    for (int j = 0; j < (1 << R); ++j) psi[base + offset.at[j]] = v[j], lam[base + offset.at[j]] = w[j];
  });
  for (int r = 0; r < R; ++r) sums[r] += sum[r];
}

// Only the sums, where nothing before the stage is needed any more.
template <class T>
inline void overlap(const Vec<T>* psi, const Vec<T>* lam, size_t begin, size_t end, int bit, Vec<T>* sums) {
  const size_t step = size_t(1) << bit;
  Vec<T> sum{};
  groups<1>(begin, end, &bit, [&](size_t k) __attribute__((always_inline)) {
    sum += lam[k + step] * psi[k] - lam[k] * psi[k + step];
  });
  sums[0] += sum;
}

// The matrix on a bit inside a vector: y = x * same + (x of the other lane) * other.
template <class T>
struct LaneMatrix {
  Vec<T> same, other;
};

template <class T>
inline LaneMatrix<T> lane_matrix(const Matrix2<T>& m) {
  LaneMatrix<T> found{};
  for (int l = 0; l < Simd<T>::width; ++l) {
    const bool one = l >> m.bit & 1;
    found.same[l] = one ? m.d[l] : m.a[l];
    found.other[l] = one ? m.c[l] : m.b[l];
  }
  return found;
}

template <class T, int D>
inline void rotate_lanes(Vec<T>* x, size_t count, const LaneMatrix<T>& m) {
  const Vec<T> same = m.same, other = m.other;
  for (size_t k = 0; k < count; ++k) x[k] = x[k] * same + xor_lanes<T, D>(x[k]) * other;
}

template <class T, int D>
inline void rotate_lanes_both(Vec<T>* psi, Vec<T>* lam, size_t count, const LaneMatrix<T>& m, Vec<T>* sums) {
  const Vec<T> same = m.same, other = m.other;
  Vec<T> sign{}, sum{};
  for (int l = 0; l < Simd<T>::width; ++l) sign[l] = l & D ? T(1) : T(-1);
  for (size_t k = 0; k < count; ++k) {
    const Vec<T> p = psi[k], s = lam[k], q = xor_lanes<T, D>(p), t = xor_lanes<T, D>(s);
    sum += s * q;
    psi[k] = p * same + q * other;
    lam[k] = s * same + t * other;
  }
  sums[0] += sum * sign;
}

// Calls f with the lane distance of a bit as a compile-time constant.
template <class T, class F>
QGEN_INLINE void with_distance(int bit, F f) {
  switch (bit) {
    case 0: f(std::integral_constant<int, 1>{}); break;
    case 1: f(std::integral_constant<int, 2 % Simd<T>::width>{}); break;
    case 2: f(std::integral_constant<int, 4 % Simd<T>::width>{}); break;
    default: f(std::integral_constant<int, 8 % Simd<T>::width>{}); break;
  }
}

// Applies f<R>(first matrix, R) to the matrices [first, last) in even groups of at most `most`.
template <class F>
QGEN_INLINE void in_groups(int first, int last, int most, F f) {
  int left = last - first;
  for (int groups = (left + most - 1) / most; groups > 0; --groups) {
    const int size = (left + groups - 1) / groups;
    f(first, size);
    first += size;
    left -= size;
  }
}

// Matrices sorted by bit, and where those inside a vector, inside a tile and inside an outer tile end.
template <class T>
struct Layered {
  int tile, outer;
  int lanes = 0, inside = 0, middle = 0, count;
  Matrix2<T> above[32];  // on bits of the vector index
  LaneMatrix<T> in_vector[8];

  Layered(const Matrix2<T>* matrices, int n, int bits, int low, bool shared) : count(n) {
    // A state that threads share has at least eight outer tiles.
    const int most = shared ? bits - 3 : bits;
    outer = most < kOuterBits ? most : kOuterBits;
    tile = outer < kTileBits ? outer : kTileBits;
    while (lanes < count && matrices[lanes].bit < low) {
      in_vector[lanes] = lane_matrix<T>(matrices[lanes]);
      above[lanes] = matrices[lanes];
      ++lanes;
    }
    inside = middle = lanes;
    for (int k = lanes; k < count; ++k) {
      above[k] = matrices[k];
      above[k].bit -= low;
      if (above[k].bit < tile) inside = k + 1;
      if (above[k].bit < outer) middle = k + 1;
    }
  }
};

template <class T>
inline void rotate_some(Vec<T>* x, size_t begin, size_t end, const Matrix2<T>* m, int size) {
  if (size == 1) rotate<T, 1>(x, begin, end, m);
  if (size == 2) rotate<T, 2>(x, begin, end, m);
  if (size == 3) rotate<T, 3>(x, begin, end, m);
}

// The matrices, sorted by bit, on a plane of 2**bits vectors.
template <class T>
inline void turn(Vec<T>* x, int bits, int low, const Matrix2<T>* matrices, int count, Team& team) {
  const bool shared = team.size() > 1;
  const Layered<T> m(matrices, count, bits, low, shared);
  const int tile = m.tile, outer = m.outer;
  if (m.middle > 0) {
    over(team, size_t(1) << (bits - outer), shared ? kParts : 1, [&](size_t begin, size_t end, size_t) {
      for (size_t at = begin; at < end; ++at) {
        Vec<T>* there = x + (at << outer);
        for (size_t k = 0; m.inside > 0 && k < size_t(1) << (outer - tile); ++k) {
          Vec<T>* here = there + (k << tile);
          for (int l = 0; l < m.lanes; ++l) {
            with_distance<T>(m.above[l].bit,
                             [&](auto d) { rotate_lanes<T, d()>(here, size_t(1) << tile, m.in_vector[l]); });
          }
          in_groups(m.lanes, m.inside, kForwardBits, [&](int first, int size) {
            rotate_some<T>(here, 0, size_t(1) << (tile - size), m.above + first, size);
          });
        }
        in_groups(m.inside, m.middle, kForwardBits, [&](int first, int size) {
          rotate_some<T>(there, 0, size_t(1) << (outer - size), m.above + first, size);
        });
      }
    });
  }
  in_groups(m.middle, count, kForwardBits, [&](int first, int size) {
    over(team, size_t(1) << (bits - size), shared ? kParts : 1, [&](size_t begin, size_t end, size_t) {
      rotate_some<T>(x, begin, end, m.above + first, size);
    });
  });
}

// With `undo` the matrices act on both states, otherwise only the overlaps are summed.
template <class T>
inline void rotate_some_of_both(Vec<T>* psi, Vec<T>* lam, size_t begin, size_t end, const Matrix2<T>* m, int size,
                                bool undo, Vec<T>* sums) {
  if (!undo) overlap<T>(psi, lam, begin, end, m->bit, sums);
  if (undo && size == 1) rotate_both<T, 1>(psi, lam, begin, end, m, sums);
  if (undo && size == 2) rotate_both<T, 2>(psi, lam, begin, end, m, sums);
  if (undo && size == 3) rotate_both<T, 3>(psi, lam, begin, end, m, sums);
}

// As `turn` on both states; sums[k] += the overlap of the k-th matrix's generator.
template <class T>
inline void turn_both(Vec<T>* psi, Vec<T>* lam, int bits, int low, const Matrix2<T>* matrices, int count, bool undo,
                      Vec<T>* sums, Team& team) {
  const bool shared = team.size() > 1;
  const Layered<T> m(matrices, count, bits, low, shared);
  const int tile = m.tile, outer = m.outer;
  const int near = undo ? kBackwardBits : 1;
  const int far = undo ? kForwardBits : 1;  // such passes wait for memory, not for arithmetic
  const size_t parts = shared ? kParts : 1;
  Vec<T> part_sums[kParts][32];
  for (size_t p = 0; p < parts; ++p) {
    for (int k = 0; k < count; ++k) part_sums[p][k] = Vec<T>{};
  }
  if (m.middle > 0) {
    over(team, size_t(1) << (bits - outer), parts, [&](size_t begin, size_t end, size_t part) {
      Vec<T>* mine = part_sums[part];
      for (size_t at = begin; at < end; ++at) {
        Vec<T>*psi_there = psi + (at << outer), *lam_there = lam + (at << outer);
        for (size_t k = 0; m.inside > 0 && k < size_t(1) << (outer - tile); ++k) {
          Vec<T>*psi_here = psi_there + (k << tile), *lam_here = lam_there + (k << tile);
          for (int l = 0; l < m.lanes; ++l) {
            with_distance<T>(m.above[l].bit, [&](auto d) {
              rotate_lanes_both<T, d()>(psi_here, lam_here, size_t(1) << tile, m.in_vector[l], mine + l);
            });
          }
          in_groups(m.lanes, m.inside, near, [&](int first, int size) {
            const size_t all = size_t(1) << (tile - size);
            rotate_some_of_both<T>(psi_here, lam_here, 0, all, m.above + first, size, undo, mine + first);
          });
        }
        in_groups(m.inside, m.middle, near, [&](int first, int size) {
          const size_t all = size_t(1) << (outer - size);
          rotate_some_of_both<T>(psi_there, lam_there, 0, all, m.above + first, size, undo, mine + first);
        });
      }
    });
  }
  in_groups(m.middle, count, far, [&](int first, int size) {
    over(team, size_t(1) << (bits - size), parts, [&](size_t begin, size_t end, size_t part) {
      for (size_t at = begin; at < end; at += kSumRun) {
        const size_t stop = end - at < kSumRun ? end : at + kSumRun;
        rotate_some_of_both<T>(psi, lam, at, stop, m.above + first, size, undo, part_sums[part] + first);
      }
    });
  });
  for (size_t p = 0; p < parts; ++p) {
    for (int k = 0; k < count; ++k) sums[k] += part_sums[p][k];
  }
}

// sum over b of (-1)^|b & m| x[b] for every m, in place.
template <class T>
inline void walsh(Vec<T>* x, int bits, int low, Team& team) {
  const int tile = bits < kTileBits ? bits : kTileBits;
  const size_t parts = team.size() > 1 ? kParts : 1;
  int every[32];
  for (int k = 0; k < 32; ++k) every[k] = k;
  LaneMatrix<T> in_vector[8];
  const Vec<T> one = splat<T>(1);
  for (int k = 0; k < low; ++k) in_vector[k] = lane_matrix<T>({k, one, one, one, -one});
  over(team, size_t(1) << (bits - tile), parts, [&](size_t begin, size_t end, size_t) {
    for (size_t at = begin; at < end; ++at) {
      Vec<T>* here = x + (at << tile);
      for (int k = 0; k < low; ++k) {
        with_distance<T>(k, [&](auto d) { rotate_lanes<T, d()>(here, size_t(1) << tile, in_vector[k]); });
      }
      in_groups(0, tile, kForwardBits, [&](int first, int size) {
        const size_t all = size_t(1) << (tile - size);
        if (size == 1) add_and_subtract<T, 1>(here, 0, all, every + first);
        if (size == 2) add_and_subtract<T, 2>(here, 0, all, every + first);
        if (size == 3) add_and_subtract<T, 3>(here, 0, all, every + first);
      });
    }
  });
  in_groups(tile, bits, kForwardBits, [&](int first, int size) {
    over(team, size_t(1) << (bits - size), parts, [&](size_t begin, size_t end, size_t) {
      if (size == 1) add_and_subtract<T, 1>(x, begin, end, every + first);
      if (size == 2) add_and_subtract<T, 2>(x, begin, end, every + first);
      if (size == 3) add_and_subtract<T, 3>(x, begin, end, every + first);
    });
  });
}

}  // namespace qgen
