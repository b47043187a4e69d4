// Rotations exp(-i t/2 P) by a Pauli word P that flips bits: they turn every amplitude b against b ^ flip.
#pragma once

#include <algorithm>

#include "phases.h"
#include "simd.h"
#include "team.h"
#include "turns.h"

namespace qgen {

// With p of vector k and q of its partner, the latter's lanes in the order of the former's: p' = c p + w q and
// q' = c q - w p, where w is the sine times (-1)^|b & sign|, times a sign that is the same for all b. With an odd number
// of Y, p and q are both real or both imaginary parts. With an even number one is a real part, the other an imaginary.
template <class T>
struct Mirror {
  size_t partner, sign;  // of vectors
  int top = 0;           // the partner's highest bit
  bool odd;              // the number of Y
  Ints<T> place;
  Vec<T> unit;

  Mirror(uint64_t flip, uint64_t signs, int low) : partner(flip >> low), sign(signs >> low) {
    const uint64_t inside = (uint64_t(1) << low) - 1;
    const int ys = __builtin_popcountll(flip & signs);
    odd = ys & 1;
    while (partner >> top > 1) ++top;
    place = lane_numbers<T>() ^ static_cast<typename Word<T>::Int>(flip & inside);
    for (int l = 0; l < Simd<T>::width; ++l) {
      const bool minus = is_odd(static_cast<uint64_t>(l) & signs & inside) ^ (ys % 4 == 1 || ys % 4 == 2);
      unit[l] = minus ? T(-1) : T(1);
    }
  }

  // Calls f(k, whether k's sign is odd) for one vector of each of the pairs [begin, end).
  template <class F>
  QGEN_INLINE void pairs(size_t begin, size_t end, F f) const {
    const size_t below = (size_t(1) << top) - 1;
    for (size_t h = begin; h < end; ++h) {
      const size_t k = partner ? (h & ~below) << 1 | (h & below) : h;
      f(k, is_odd(k & sign));
    }
  }
  // With flips inside a vector only, every vector is its own partner.
  size_t count(int bits) const { return size_t(1) << (partner ? bits - 1 : bits); }

  // Calls f(part of p, part of q, sign of w) for all real (0) and imaginary (1) parts that turn.
  template <class F>
  void parts(F f) const {
    f(0, odd ? 0 : 1, T(1));
    if (odd || partner) f(1, odd ? 1 : 0, odd ? T(1) : T(-1));
  }
};

// Turns a state, real and imaginary planes of 2**bits vectors. Backwards it turns the state and its cotangent the other
// way and returns the overlap that is twice the angle's derivative.
template <class T, bool Backwards>
inline Vec<T> mirror(Vec<T>* psi, Vec<T>* lam, int bits, const Mirror<T>& m, Vec<T> c, Vec<T> s, Team& team) {
  Vec<T> sums[kParts] = {};
  m.parts([&](size_t of_p, size_t of_q, T sign) {
    Vec<T>*x = psi + (of_p << bits), *y = psi + (of_q << bits);
    const Vec<T> unit[2] = {sign * m.unit, -sign * m.unit}, sine = Backwards ? -s : s;
    over(team, m.count(bits), team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t part) {
      for (size_t at = begin; at < end; at += kSumRun) {
        Vec<T> sum{};
        m.pairs(at, std::min(end, at + kSumRun), [&](size_t k, bool minus) __attribute__((always_inline)) {
          const size_t j = k ^ m.partner;
          const Vec<T> p = x[k], q = pick<T>(y[j], m.place), w = sine * unit[minus];
          x[k] = c * p + w * q;
          y[j] = pick<T>(c * q - w * p, m.place);
          if constexpr (Backwards) {
            Vec<T>*u = lam + (of_p << bits), *v = lam + (of_q << bits);
            const Vec<T> f = u[k], g = pick<T>(v[j], m.place);
            sum += unit[minus] * (f * q - g * p);
            u[k] = c * f + w * g;
            v[j] = pick<T>(c * g - w * f, m.place);
          }
        });
        sums[part] += sum;
      }
    });
  });
  Vec<T> total{};
  for (const Vec<T>& sum : sums) total += sum;
  // Within one plane, a vector that is its own partner holds every pair of lanes twice.
  return m.odd && !m.partner ? T(0.5) * total : total;
}

}  // namespace qgen
