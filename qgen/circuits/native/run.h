// Runs a program on one state, or on as many states as a vector has lanes: forwards, its values, and backwards.
#pragma once

#include <algorithm>
#include <vector>

#include "mirrors.h"
#include "moves.h"
#include "phases.h"
#include "program.h"
#include "turns.h"

namespace qgen {

// Memory aligned for vectors, handed out piece by piece.
template <class T>
class Scratch {
 public:
  explicit Scratch(Vec<T>* memory) : next_(memory) {}
  Vec<T>* take(size_t count) {
    Vec<T>* found = next_;
    next_ += count;
    return found;
  }

 private:
  Vec<T>* next_;
};

// What a run needs memory for.
struct Needs {
  bool backward, values;
  size_t n_observables;
};

// Sizes of a run's scratch memory, in vectors.
template <class T>
struct Sizes {
  size_t plane, high, low, params, slots, weights;
  bool spare, table;

  Sizes(const Program& p, Needs needs) {
    plane = size_t(1) << (p.n - p.low);
    high = size_t(1) << (p.n - p.split);
    low = size_t(1) << (p.split - p.low);
    params = static_cast<size_t>(p.n_params);
    slots = p.slots.size();
    weights = needs.values ? p.words.size() * (needs.n_observables + 2) + 2 * needs.n_observables : 0;
    spare = table = false;
    for (const Op& op : p.ops) {
      spare |= op.kind == Kind::kAffine;
      table |= op.kind == Kind::kPhases && op.form == PhaseForm::kFull;
    }
    table |= needs.values;
  }
  size_t states(Needs needs) const { return 1 + needs.backward + spare; }
  size_t total(Needs needs) const {
    const size_t planes = 2 * states(needs) + (table ? 1 : 0);
    return planes * plane + 3 * high + (2 + kParts) * low + 2 * params + slots + weights;
  }
};

template <class T>
class Run {
 public:
  using V = Vec<T>;

  Run(const Program& program, const std::vector<const T*>& tables, Team& team, Needs needs, V* memory)
      : p_(program), tables_(tables), team_(team), bits_(program.n - program.low), sizes_(program, needs) {
    Scratch<T> scratch(memory);
    psi_ = scratch.take(2 * sizes_.plane);
    lam_ = needs.backward ? scratch.take(2 * sizes_.plane) : nullptr;
    spare_ = sizes_.spare ? scratch.take(2 * sizes_.plane) : nullptr;
    table_ = sizes_.table ? scratch.take(sizes_.plane) : nullptr;
    high_ = {scratch.take(sizes_.high), scratch.take(sizes_.high)};
    high_sums_ = scratch.take(sizes_.high);
    low_ = {scratch.take(sizes_.low), scratch.take(sizes_.low)};
    low_sums_ = scratch.take(kParts * sizes_.low);
    params = scratch.take(sizes_.params);
    grads = scratch.take(sizes_.params);
    angles_ = scratch.take(sizes_.slots);
    coefficients = scratch.take(needs.values ? p_.words.size() * needs.n_observables : 0);
    words = scratch.take(needs.values ? p_.words.size() : 0);
    word_weights = scratch.take(needs.values ? p_.words.size() : 0);
    values = scratch.take(needs.values ? needs.n_observables : 0);
    cotangents = scratch.take(needs.values ? needs.n_observables : 0);
  }

  V *params, *grads, *coefficients, *words, *word_weights, *values, *cotangents;

  size_t plane() const { return sizes_.plane; }
  V* psi() { return psi_; }
  V* lam() { return lam_; }

  void forward(bool from_zero) {
    depth_ = 0;
    at_zero_ = from_zero;
    forward(0, p_.ops.size());
    if (at_zero_) product(nullptr, 0);
  }

  // From psi and lam after the program to the gradient, and if wanted to lam before the program.
  void backward(bool to_start) {
    for (size_t k = 0; k < sizes_.params; ++k) grads[k] = V{};
    depth_ = 0;
    backward(0, p_.ops.size(), !to_start);
  }

  // The words' expectation values in psi.
  void measure() {
    for (const WordGroup& group : p_.groups) {
      V* t = table_;
      const size_t partner = group.flip >> p_.low;
      const Ints<T> place = partner_lanes(group.flip);
      const V *re = psi_, *im = psi_ + sizes_.plane;
      over(team_, sizes_.plane, parts(), [&](size_t begin, size_t end, size_t) {
        for (size_t k = begin; k < end; ++k) {
          if (group.flip == 0) {
            t[k] = re[k] * re[k] + im[k] * im[k];
            continue;
          }
          const V x = pick<T>(re[k ^ partner], place), y = pick<T>(im[k ^ partner], place);
          t[k] = group.odd ? x * im[k] - y * re[k] : x * re[k] + y * im[k];
        }
      });
      walsh<T>(t, bits_, p_.low, team_);
      for (int w : group.words) {
        const PauliWord& word = p_.words[w];
        const bool minus = word.ys % 4 == 1 || word.ys % 4 == 2;
        const V value = read_at<T>(t, word.sign, p_.low);
        words[w] = minus ? -value : value;
      }
    }
  }

  // lam = the cotangent of sum over words of word_weights * value.
  void pull() {
    bool first = true;
    for (const WordGroup& group : p_.groups) {
      V* t = table_;
      for (size_t k = 0; k < sizes_.plane; ++k) t[k] = V{};
      for (int w : group.words) {
        const PauliWord& word = p_.words[w];
        bool minus = is_odd(word.sign & word.flip);
        minus ^= word.ys % 4 == 2 || word.ys % 4 == 3;
        const V weight = T(2) * word_weights[w];
        add_at<T>(t, word.sign, minus ? -weight : weight, p_.low);
      }
      walsh<T>(t, bits_, p_.low, team_);
      const size_t partner = group.flip >> p_.low;
      const Ints<T> place = partner_lanes(group.flip);
      const V *re = psi_, *im = psi_ + sizes_.plane;
      V *to_re = lam_, *to_im = lam_ + sizes_.plane;
      over(team_, sizes_.plane, parts(), [&](size_t begin, size_t end, size_t) {
        for (size_t k = begin; k < end; ++k) {
          V x = re[k ^ partner], y = im[k ^ partner];
          if (group.flip) x = pick<T>(x, place), y = pick<T>(y, place);
          const V a = group.odd ? -t[k] * y : t[k] * x, b = group.odd ? t[k] * x : t[k] * y;
          to_re[k] = first ? a : to_re[k] + a;
          to_im[k] = first ? b : to_im[k] + b;
        }
      });
      first = false;
    }
    if (first) {
      for (size_t k = 0; k < 2 * sizes_.plane; ++k) lam_[k] = V{};
    }
  }

 private:
  struct Frame {
    const Op* loop;
    int64_t turn;
  };

  size_t parts() const { return team_.size() > 1 ? kParts : 1; }

  Ints<T> partner_lanes(uint64_t flip) const {
    const uint64_t inside = (uint64_t(1) << p_.low) - 1;
    return lane_numbers<T>() ^ static_cast<typename Word<T>::Int>(flip & inside);
  }

  int64_t entry_of(int64_t index) const {
    for (int d = depth_ - 1; d >= 0; --d) {
      const Op& loop = *frames_[d].loop;
      const int64_t row = loop.backwards ? loop.times - 1 - frames_[d].turn : frames_[d].turn;
      index += loop.start + (index < loop.shared ? 0 : row * loop.advancing);
    }
    return index;
  }

  // Computes the angles of a stage; says whether some are so large that they need the C library's sine.
  bool evaluate(const Op& op, double weight) {
    V most{};
    for (int s = op.first_slot; s < op.last_slot; ++s) {
      const Slot& slot = p_.slots[s];
      V value = splat<T>(static_cast<T>(slot.constant));
      for (int t = slot.first; t < slot.last; ++t) {
        value += static_cast<T>(p_.terms[t].scale) * params[entry_of(p_.terms[t].index)];
      }
      angles_[s] = value;
      most += magnitude<T>(value);
    }
    bool wide = false;
    for (int l = 0; l < (p_.low > 0 ? 1 : Simd<T>::width); ++l) wide |= !(most[l] * weight <= Trig<T>::limit);
    return wide;
  }

  void add_gradient(int s, V value) {
    const Slot& slot = p_.slots[s];
    for (int t = slot.first; t < slot.last; ++t) {
      grads[entry_of(p_.terms[t].index)] += static_cast<T>(p_.terms[t].scale) * value;
    }
  }

  V reduced(V x) const { return p_.low > 0 ? splat<T>(lane_sum<T>(x)) : x; }

  void forward(size_t begin, size_t end) {
    for (size_t at = begin; at < end; ++at) {
      const Op& op = p_.ops[at];
      if (op.kind != Kind::kLoop) {
        apply(op);
        continue;
      }
      for (int64_t turn = 0; turn < op.times; ++turn) {
        frames_[depth_++] = {&op, turn};
        forward(at + 1, op.end);
        --depth_;
      }
      at = op.end - 1;
    }
  }

  // With `first` the stages begin the program, and nothing asks for lam before it.
  void backward(size_t begin, size_t end, bool first) {
    std::vector<size_t> order;
    for (size_t at = begin; at < end; at = p_.ops[at].kind == Kind::kLoop ? p_.ops[at].end : at + 1) {
      order.push_back(at);
    }
    for (size_t k = order.size(); k-- > 0;) {
      const Op& op = p_.ops[order[k]];
      if (op.kind != Kind::kLoop) {
        undo(op, first && k == 0);
        continue;
      }
      for (int64_t turn = op.times; turn-- > 0;) {
        frames_[depth_++] = {&op, turn};
        backward(order[k] + 1, op.end, first && k == 0 && turn == 0);
        --depth_;
      }
    }
  }

  // |0...0> after rotations of some qubits.
  void product(const Matrix2<T>* m, int count) {
    at_zero_ = false;
    V* x = psi_;
    int k = 0;
    x[0] = splat<T>(1);
    for (int bit = 0; bit < p_.n; ++bit) {
      const bool turned = k < count && m[k].bit == bit;
      const V zero = turned ? m[k].a : splat<T>(1), one = turned ? m[k].c : V{};
      k += turned;
      if (bit < p_.low) {
        for (int l = 0; l < Simd<T>::width; ++l) x[0][l] *= l >> bit & 1 ? one[l] : zero[l];
        continue;
      }
      const size_t half = size_t(1) << (bit - p_.low);
      for (size_t j = 0; j < half; ++j) {
        x[j + half] = x[j] * one;
        x[j] *= zero;
      }
    }
    for (size_t j = sizes_.plane; j < 2 * sizes_.plane; ++j) x[j] = V{};
  }

  void apply(const Op& op) {
    if (at_zero_ && op.kind != Kind::kTurns) product(nullptr, 0);
    switch (op.kind) {
      case Kind::kTurns: {
        Matrix2<T> m[32];
        matrices(op, false, m);
        if (at_zero_) {
          product(m, static_cast<int>(op.turns.size()));
          break;
        }
        for (int part = 0; part < 2; ++part) {
          turn<T>(psi_ + part * sizes_.plane, bits_, p_.low, m, static_cast<int>(op.turns.size()), team_);
        }
        break;
      }
      case Kind::kPhases: apply_phases(op); break;
      case Kind::kMirror: {
        V s, c;
        half_angle(op, s, c);
        mirror<T, false>(psi_, nullptr, bits_, Mirror<T>(op.flip, op.sign, p_.low), c, s, team_);
        break;
      }
      default: fixed(op, psi_, false); break;
    }
  }

  void undo(const Op& op, bool last) {
    switch (op.kind) {
      case Kind::kTurns: {
        Matrix2<T> m[32];
        V sums[32];
        const int count = static_cast<int>(op.turns.size());
        auto is_free = [&](const auto& turn) { return p_.slots[turn.slot].is_free(); };
        if (last && std::none_of(op.turns.begin(), op.turns.end(), is_free)) break;
        matrices(op, true, m);
        for (int k = 0; k < count; ++k) sums[k] = V{};
        for (int part = 0; part < 2; ++part) {
          const size_t at = part * sizes_.plane;
          turn_both<T>(psi_ + at, lam_ + at, bits_, p_.low, m, count, !last, sums, team_);
        }
        for (int k = 0; k < count; ++k) {
          if (is_free(op.turns[k])) add_gradient(op.turns[k].slot, reduced(sums[k]) * T(0.5));
        }
        break;
      }
      case Kind::kPhases: undo_phases(op); break;
      case Kind::kMirror: {
        V s, c;
        half_angle(op, s, c);
        const V sum = mirror<T, true>(psi_, lam_, bits_, Mirror<T>(op.flip, op.sign, p_.low), c, s, team_);
        add_gradient(op.first_slot, reduced(sum) * T(0.5));
        break;
      }
      default:
        fixed(op, psi_, true);
        fixed(op, lam_, true);
        break;
    }
  }

  // RY(t) Z^f of every rotation, or the inverse.
  void matrices(const Op& op, bool back, Matrix2<T>* m) {
    const bool wide = evaluate(op, 0.5);
    for (size_t k = 0; k < op.turns.size(); ++k) {
      V s, c;
      sincos<T>(angles_[op.turns[k].slot] * T(0.5), wide, s, c);
      if (op.turns[k].flip) {
        m[k] = {op.turns[k].bit, c, s, s, -c};
      } else if (back) {
        m[k] = {op.turns[k].bit, c, s, -s, c};
      } else {
        m[k] = {op.turns[k].bit, c, -s, s, c};
      }
    }
  }

  void half_angle(const Op& op, V& s, V& c) {
    const bool wide = evaluate(op, 0.5);
    sincos<T>(angles_[op.first_slot] * T(0.5), wide, s, c);
  }

  void fixed(const Op& op, V*& x, bool back) {
    V *re = x, *im = x + sizes_.plane;
    switch (op.kind) {
      case Kind::kAffine:
        // Forwards an amplitude comes from the inverse map of its place.
        move<T>(re, im, spare_, spare_ + sizes_.plane, bits_, p_.low, back ? op.columns : op.columns_back,
                back ? op.shift : op.shift_back, team_);
        std::swap(x, spare_);
        break;
      case Kind::kFlip:
        flip<T>(re, bits_, p_.low, op.controls, op.target, team_);
        flip<T>(im, bits_, p_.low, op.controls, op.target, team_);
        break;
      case Kind::kTable: diagonal<T>(re, im, bits_, p_.low, op, back, team_); break;
      default: dense<T>(re, im, bits_, p_.low, op, back, team_); break;
    }
  }

  // Phases

  int high_bits() const { return p_.n - p_.split; }
  int low_bits() const { return p_.split - p_.low; }
  V weighted(const Phase& phase) const { return angles_[phase.slot] * static_cast<T>(phase.weight); }

  void split_factors(const Op& op, bool wide) {
    Alone alone;
    const Phase *first = op.phases.data(), *middle = first + op.n_low, *last = first + op.phases.size();
    auto angle = [&](const Phase& p) { return weighted(p); };
    angles<T>(low_.c, p_.split, p_.low, first, middle, angle, alone);
    angles<T>(high_.c, high_bits(), 0, middle, last, angle, alone);
    to_factors<T>(low_.c, sizes_.low, wide, low_);
    to_factors<T>(high_.c, sizes_.high, wide, high_);
  }

  // The angle of vector k from the stage's tables over the register.
  V from_tables(const Op& op, size_t k) const {
    V total{};
    for (const auto& [slot, table] : op.tables) {
      const T* values = tables_[table];
      total += angles_[slot] * (p_.low > 0 ? reinterpret_cast<const V*>(values)[k] : splat<T>(values[k]));
    }
    return total;
  }

  void full_angles(const Op& op) {
    angles<T>(table_, p_.n, p_.low, op.phases.data(), op.phases.data() + op.phases.size(),
              [&](const Phase& p) { return weighted(p); }, team_);
  }

  void apply_phases(const Op& op) {
    const bool wide = evaluate(op, op.total_weight);
    V *re = psi_, *im = psi_ + sizes_.plane;
    if (op.form == PhaseForm::kSplit) {
      split_factors(op, wide);
      multiply_split<T>(re, im, high_bits(), low_bits(), high_, low_, false, team_);
    } else if (op.form == PhaseForm::kTables) {
      multiply_full<T>(re, im, sizes_.plane, wide, [&](size_t k) { return from_tables(op, k); }, false, team_);
    } else {
      full_angles(op);
      multiply_full<T>(re, im, sizes_.plane, wide, [&](size_t k) { return table_[k]; }, false, team_);
    }
  }

  void undo_phases(const Op& op) {
    const bool wide = evaluate(op, op.total_weight);
    const Both<T> x{psi_, psi_ + sizes_.plane, lam_, lam_ + sizes_.plane};
    const Phase *first = op.phases.data(), *middle = first + op.n_low, *last = first + op.phases.size();
    auto found = [&](const Phase& p, V sum) { add_gradient(p.slot, sum * static_cast<T>(p.weight)); };
    Alone alone;
    if (op.form == PhaseForm::kSplit) {
      split_factors(op, wide);
      undo_split<T>(x, high_bits(), low_bits(), high_, low_, high_sums_, low_sums_, team_);
      angle_sums<T>(low_sums_, p_.split, p_.low, first, middle, found, alone);
      if (p_.low > 0) {
        for (size_t k = 0; k < sizes_.high; ++k) high_sums_[k] = reduced(high_sums_[k]);
      }
      angle_sums<T>(high_sums_, high_bits(), 0, middle, last, found, alone);
    } else if (op.form == PhaseForm::kTables) {
      V sums[kParts][2] = {}, totals[kParts][2] = {};
      undo_full<T>(
          x, sizes_.plane, wide, [&](size_t k) { return from_tables(op, k); },
          [&](size_t part, size_t k, V g) {
            for (size_t t = 0; t < op.tables.size(); ++t) {
              const T* values = tables_[op.tables[t].second];
              sums[part][t] += g * (p_.low > 0 ? reinterpret_cast<const V*>(values)[k] : splat<T>(values[k]));
              if ((k & (kSumRun - 1)) == 0) {
                totals[part][t] += sums[part][t];
                sums[part][t] = V{};
              }
            }
          },
          team_);
      for (size_t t = 0; t < op.tables.size(); ++t) {
        V total{};
        for (size_t part = 0; part < kParts; ++part) total += totals[part][t] + sums[part][t];
        add_gradient(op.tables[t].first, reduced(total));
      }
    } else {
      full_angles(op);
      undo_full<T>(
          x, sizes_.plane, wide, [&](size_t k) { return table_[k]; }, [&](size_t, size_t k, V g) { table_[k] = g; },
          team_);
      angle_sums<T>(table_, p_.n, p_.low, first, last, found, team_);
    }
  }

  const Program& p_;
  const std::vector<const T*>& tables_;
  Team& team_;
  int bits_;
  Sizes<T> sizes_;
  V *psi_, *lam_, *spare_, *table_, *high_sums_, *low_sums_, *angles_;
  Factor<T> high_, low_;
  Frame frames_[kMaxDepth + 1];
  int depth_ = 0;
  bool at_zero_ = false;  // psi is |0...0> and not yet written
};

}  // namespace qgen
