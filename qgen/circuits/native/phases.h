// Phase polynomials: their angles over the register, their factors, their action and their gradients.
#pragma once

#include <vector>

#include "program.h"
#include "turns.h"

namespace qgen {

// Adds an angle at an index of a table whose low bits lie inside vectors.
template <class T>
QGEN_INLINE void add_at(Vec<T>* table, uint64_t index, Vec<T> value, int low) {
  if (low > 0) {
    reinterpret_cast<T*>(table)[index] += value[0];
  } else {
    table[index] += value;
  }
}

template <class T>
QGEN_INLINE Vec<T> read_at(const Vec<T>* table, uint64_t index, int low) {
  return low > 0 ? splat<T>(reinterpret_cast<const T*>(table)[index]) : table[index];
}

// Calls f(index) for every index below 2**n that holds all bits of `ones`.
template <class F>
inline void holding(uint64_t ones, int n, F f) {
  const uint64_t rest = ((uint64_t(1) << n) - 1) & ~ones;
  uint64_t part = 0;
  do {
    f(ones | part);
    part = (part - rest) & rest;
  } while (part != 0);
}

inline bool is_odd(uint64_t x) { return __builtin_popcountll(x) & 1; }

// table[b] = sum of angle(phase) f_phase(b) over the phases [first, last); n bits, `low` of them inside vectors.
template <class T, class Angle>
inline void angles(Vec<T>* table, int n, int low, const Phase* first, const Phase* last, Angle angle, Team& team) {
  const size_t size = size_t(1) << (n - low);
  for (size_t k = 0; k < size; ++k) table[k] = Vec<T>{};
  for (const Phase* p = first; p != last; ++p) {
    if (!p->ones) add_at<T>(table, p->parity, angle(*p), low);
  }
  walsh<T>(table, n - low, low, team);
  for (const Phase* p = first; p != last; ++p) {
    if (!p->ones) continue;
    const Vec<T> plus = angle(*p), minus = -plus;
    holding(p->ones, n, [&](uint64_t b) { add_at<T>(table, b, is_odd(b & p->parity) ? minus : plus, low); });
  }
}

// Calls found(phase, sum over b of f_phase(b) g[b]); destroys g.
template <class T, class Found>
inline void angle_sums(Vec<T>* g, int n, int low, const Phase* first, const Phase* last, Found found, Team& team) {
  for (const Phase* p = first; p != last; ++p) {
    if (!p->ones) continue;
    Vec<T> total{};
    holding(p->ones, n, [&](uint64_t b) {
      const Vec<T> value = read_at<T>(g, b, low);
      total = is_odd(b & p->parity) ? total - value : total + value;
    });
    found(*p, total);
  }
  walsh<T>(g, n - low, low, team);
  for (const Phase* p = first; p != last; ++p) {
    if (!p->ones) found(*p, read_at<T>(g, p->parity, low));
  }
}

template <class T>
struct Factor {  // cosines and sines
  Vec<T>*c, *s;
};

template <class T>
inline void to_factors(const Vec<T>* angle, size_t size, bool wide, Factor<T> to) {
  for (size_t k = 0; k < size; ++k) sincos<T>(angle[k], wide, to.s[k], to.c[k]);
}

// Multiplies by high[h] low[l], or by the conjugate.
template <class T>
inline void multiply_split(Vec<T>* re, Vec<T>* im, int high_bits, int low_bits, Factor<T> high, Factor<T> low,
                           bool back, Team& team) {
  const size_t width = size_t(1) << low_bits;
  over(team, size_t(1) << high_bits, team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t) {
    for (size_t h = begin; h < end; ++h) {
      const Vec<T> hc = high.c[h], hs = high.s[h];
      Vec<T>*x = re + h * width, *y = im + h * width;
      for (size_t l = 0; l < width; ++l) {
        const Vec<T> c = hc * low.c[l] - hs * low.s[l];
        Vec<T> s = hc * low.s[l] + hs * low.c[l];
        s = back ? -s : s;
        const Vec<T> p = x[l], q = y[l];
        x[l] = p * c - q * s;
        y[l] = p * s + q * c;
      }
    }
  });
}

template <class T>
struct Both {  // a state and its cotangent
  Vec<T>*psi_re, *psi_im, *lam_re, *lam_im;
};

// What a phase's derivative sums: the change of the value when the phase of one amplitude turns.
template <class T>
QGEN_INLINE Vec<T> slope(Vec<T> p, Vec<T> q, Vec<T> s, Vec<T> t) {
  return t * p - s * q;
}

// Undoes a split stage on both; sums the slopes over rows and columns. `low_sums` has room for kParts rows of sums.
template <class T>
inline void undo_split(Both<T> x, int high_bits, int low_bits, Factor<T> high, Factor<T> low, Vec<T>* high_sums,
                       Vec<T>* low_sums, Team& team) {
  const size_t width = size_t(1) << low_bits, rows = size_t(1) << high_bits;
  const size_t parts = team.size() > 1 && rows >= kParts ? kParts : 1;
  over(team, rows, parts, [&](size_t begin, size_t end, size_t part) {
    Vec<T>* mine = low_sums + part * width;
    for (size_t l = 0; l < width; ++l) mine[l] = Vec<T>{};
    for (size_t h = begin; h < end; ++h) {
      const Vec<T> hc = high.c[h], hs = high.s[h];
      const size_t at = h * width;
      Vec<T> total{};
      for (size_t l = 0; l < width; ++l) {
        const Vec<T> c = hc * low.c[l] - hs * low.s[l], s = hc * low.s[l] + hs * low.c[l];
        const Vec<T> p = x.psi_re[at + l], q = x.psi_im[at + l], u = x.lam_re[at + l], v = x.lam_im[at + l];
        const Vec<T> g = slope<T>(p, q, u, v);
        total += g;
        mine[l] += g;
        x.psi_re[at + l] = p * c + q * s;
        x.psi_im[at + l] = q * c - p * s;
        x.lam_re[at + l] = u * c + v * s;
        x.lam_im[at + l] = v * c - u * s;
      }
      high_sums[h] = total;
    }
  });
  for (size_t part = 1; part < parts; ++part) {
    for (size_t l = 0; l < width; ++l) low_sums[l] += low_sums[part * width + l];
  }
}

// Multiplies by exp(i angle(k)) over the whole register, or by the conjugate.
template <class T, class Angle>
inline void multiply_full(Vec<T>* re, Vec<T>* im, size_t size, bool wide, Angle angle, bool back, Team& team) {
  over(team, size, team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t) {
    for (size_t k = begin; k < end; ++k) {
      Vec<T> s, c;
      sincos<T>(angle(k), wide, s, c);
      s = back ? -s : s;
      const Vec<T> p = re[k], q = im[k];
      re[k] = p * c - q * s;
      im[k] = p * s + q * c;
    }
  });
}

// Undoes exp(i angle(k)) on both; calls use(part, k, slope) for every vector.
template <class T, class Angle, class Use>
inline void undo_full(Both<T> x, size_t size, bool wide, Angle angle, Use use, Team& team) {
  over(team, size, team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t part) {
    for (size_t k = begin; k < end; ++k) {
      Vec<T> s, c;
      sincos<T>(angle(k), wide, s, c);
      const Vec<T> p = x.psi_re[k], q = x.psi_im[k], u = x.lam_re[k], v = x.lam_im[k];
      use(part, k, slope<T>(p, q, u, v));
      x.psi_re[k] = p * c + q * s;
      x.psi_im[k] = q * c - p * s;
      x.lam_re[k] = u * c + v * s;
      x.lam_im[k] = v * c - u * s;
    }
  });
}

}  // namespace qgen
