// Stages that move amplitudes or multiply by fixed numbers.
#pragma once

#include <vector>

#include "program.h"
#include "simd.h"
#include "team.h"
#include "turns.h"

namespace qgen {

// Where every amplitude comes from under a linear map of bits, by two small tables.
class Sources {
 public:
  Sources(const std::vector<uint64_t>& columns, uint64_t shift, int low) : columns_(columns), low_(low) {
    const int n = static_cast<int>(columns.size()), bits = n - low;
    inner_ = bits / 2;
    first_ = span(low, low + inner_, 0);
    second_ = span(low + inner_, n, shift);
  }
  uint64_t operator()(size_t vector) const {
    return first_[vector & ((size_t(1) << inner_) - 1)] ^ second_[vector >> inner_];
  }
  uint64_t lane(int l) const {
    uint64_t image = 0;
    for (int p = 0; p < low_; ++p) image ^= l >> p & 1 ? columns_[p] : 0;
    return image;
  }

 private:
  std::vector<uint32_t> span(int from, int to, uint64_t start) const {
    std::vector<uint32_t> images(size_t(1) << (to - from));
    images[0] = static_cast<uint32_t>(start);
    for (int p = from; p < to; ++p) {
      const size_t half = size_t(1) << (p - from);
      for (size_t k = 0; k < half; ++k) images[half + k] = images[k] ^ static_cast<uint32_t>(columns_[p]);
    }
    return images;
  }

  const std::vector<uint64_t>& columns_;
  int low_, inner_;
  std::vector<uint32_t> first_, second_;
};

// out[b] = in[source(b)] for both planes; the columns are those of the map from a place to its source.
template <class T>
inline void move(const Vec<T>* in_re, const Vec<T>* in_im, Vec<T>* out_re, Vec<T>* out_im, int bits, int low,
                 const std::vector<uint64_t>& columns, uint64_t shift, Team& team) {
  const Sources source(columns, shift, low);
  const size_t size = size_t(1) << bits;
  const size_t parts = team.size() > 1 ? kParts : 1;
  if (low == 0) {
    over(team, size, parts, [&](size_t begin, size_t end, size_t) {
      for (size_t k = begin; k < end; ++k) {
        const size_t from = source(k);
        out_re[k] = in_re[from];
        out_im[k] = in_im[from];
      }
    });
    return;
  }
  // Lanes of one vector come from one or several vectors, the same pattern everywhere but for an XOR.
  constexpr int width = Simd<T>::width;
  std::vector<uint64_t> reach;
  Ints<T> place{}, which{};
  for (int l = 0; l < width; ++l) {
    const uint64_t image = source.lane(l), above = image >> low;
    size_t found = 0;
    while (found < reach.size() && reach[found] != above) ++found;
    if (found == reach.size()) reach.push_back(above);
    place[l] = static_cast<typename Word<T>::Int>(image & (width - 1));
    which[l] = static_cast<typename Word<T>::Int>(found);
  }
  const uint64_t inside = width - 1;
  over(team, size, parts, [&](size_t begin, size_t end, size_t) {
    for (size_t k = begin; k < end; ++k) {
      const uint64_t base = source(k);
      const size_t from = base >> low;
      const Ints<T> at = place ^ static_cast<typename Word<T>::Int>(base & inside);
      if (reach.size() == 1) {
        out_re[k] = pick<T>(in_re[from], at);
        out_im[k] = pick<T>(in_im[from], at);
      } else if (reach.size() == 2) {
        const Ints<T> both = at | (which << low);
        const size_t other = from ^ reach[1];
        out_re[k] = pick<T>(in_re[from], in_re[other], both);
        out_im[k] = pick<T>(in_im[from], in_im[other], both);
      } else {
        Vec<T> re{}, im{};
        for (size_t r = 0; r < reach.size(); ++r) {
          const Ints<T> here = which == static_cast<typename Word<T>::Int>(r);
          re = select<T>(here, pick<T>(in_re[from ^ reach[r]], at), re);
          im = select<T>(here, pick<T>(in_im[from ^ reach[r]], at), im);
        }
        out_re[k] = re;
        out_im[k] = im;
      }
    }
  });
}

// Swaps a bit's two values where all controls are set.
template <class T>
inline void flip(Vec<T>* x, int bits, int low, uint64_t controls, uint64_t target, Team& team) {
  const uint64_t inside = (uint64_t(1) << low) - 1;
  const Ints<T> lanes = lanes_with<T>(controls & inside);
  const size_t above = controls >> low, partner = target >> low;
  const Ints<T> place = lane_numbers<T>() ^ static_cast<typename Word<T>::Int>(target & inside);
  over(team, size_t(1) << bits, team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t) {
    for (size_t k = begin; k < end; ++k) {
      if ((k & above) != above || (k & partner)) continue;
      if (partner) {
        const Vec<T> a = x[k], b = x[k | partner];
        x[k] = select<T>(lanes, b, a);
        x[k | partner] = select<T>(lanes, a, b);
      } else {
        x[k] = select<T>(lanes, pick<T>(x[k], place), x[k]);
      }
    }
  });
}

// Bits of an index gathered to an entry of a table; the first of `bits` is the most significant.
inline size_t entry(uint64_t index, const std::vector<int>& bits) {
  size_t found = 0;
  for (int bit : bits) found = found << 1 | (index >> bit & 1);
  return found;
}

// A fixed diagonal, or its conjugate.
template <class T>
inline void diagonal(Vec<T>* re, Vec<T>* im, int bits, int low, const Op& op, bool back, Team& team) {
  constexpr int width = Simd<T>::width;
  size_t in_vector[width];
  for (int l = 0; l < width; ++l) in_vector[l] = low > 0 ? entry(static_cast<uint64_t>(l), op.bits) : 0;
  over(team, size_t(1) << bits, team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t) {
    for (size_t k = begin; k < end; ++k) {
      const size_t here = entry(static_cast<uint64_t>(k) << low, op.bits);
      Vec<T> c, s;
      for (int l = 0; l < width; ++l) {
        c[l] = static_cast<T>(op.data[2 * (here | in_vector[l])]);
        s[l] = static_cast<T>(op.data[2 * (here | in_vector[l]) + 1]);
      }
      s = back ? -s : s;
      const Vec<T> p = re[k], q = im[k];
      re[k] = p * c - q * s;
      im[k] = p * s + q * c;
    }
  });
}

// A fixed matrix on bits of the vector index, or its inverse.
template <class T>
inline void dense(Vec<T>* re, Vec<T>* im, int bits, int low, const Op& op, bool back, Team& team) {
  const int k = static_cast<int>(op.bits.size());
  const size_t size = size_t(1) << k;
  std::vector<int> sorted;
  for (int bit : op.bits) sorted.push_back(bit - low);
  std::vector<size_t> offset(size);
  for (size_t j = 0; j < size; ++j) {
    for (int r = 0; r < k; ++r) offset[j] |= (j >> (k - 1 - r) & 1) << sorted[r];
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<T> c(size * size), s(size * size);
  for (size_t i = 0; i < size; ++i) {
    for (size_t j = 0; j < size; ++j) {
      const size_t at = 2 * (back ? j * size + i : i * size + j);
      c[i * size + j] = static_cast<T>(op.data[at]);
      s[i * size + j] = static_cast<T>(back ? -op.data[at + 1] : op.data[at + 1]);
    }
  }
  over(team, size_t(1) << (bits - k), team.size() > 1 ? kParts : 1, [&](size_t begin, size_t end, size_t) {
    alignas(64) Vec<T> x[size_t(2) << 5];
    std::vector<char> room;
    Vec<T>* v = x;
    if (k > 5) {  // too large for the stack; aligned by hand
      room.resize(2 * size * sizeof(Vec<T>) + 64);
      v = reinterpret_cast<Vec<T>*>((reinterpret_cast<uintptr_t>(room.data()) + 63) & ~uintptr_t(63));
    }
    Vec<T>* w = v + size;
    for (size_t g = begin; g < end; ++g) {
      size_t base = g;
      for (int bit : sorted) base = ((base >> bit) << (bit + 1)) | (base & ((size_t(1) << bit) - 1));
      for (size_t j = 0; j < size; ++j) {
        v[j] = re[base + offset[j]];
        w[j] = im[base + offset[j]];
      }
      for (size_t i = 0; i < size; ++i) {
        const T *ci = c.data() + i * size, *si = s.data() + i * size;
        Vec<T> p{}, q{};
        for (size_t j = 0; j < size; ++j) {
          p += ci[j] * v[j] - si[j] * w[j];
          q += ci[j] * w[j] + si[j] * v[j];
        }
        re[base + offset[i]] = p;
        im[base + offset[i]] = q;
      }
    }
  });
}

}  // namespace qgen
