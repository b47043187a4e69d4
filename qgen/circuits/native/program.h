// A program as the kernel runs it: decoded from flat numbers, every one of them checked.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace qgen {

constexpr int kFormat = 1;
constexpr int kMaxQubits = 30;
constexpr int kMaxDense = 10;
constexpr int kMaxDepth = 16;
constexpr int kMaxPlanes = 4;  // tables of phases over the whole register, half a state vector each

struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class Kind : int64_t { kTurns = 1, kPhases, kAffine, kFlip, kTable, kDense, kLoop, kMirror };

// const + sum of scale * params[index] over the terms [first, last).
struct Slot {
  double constant;
  int first, last;
  bool is_free() const { return last > first; }
};

struct SlotTerm {
  int64_t index;
  double scale;
};

struct Turn {
  int bit;
  bool flip;
  int slot;
};

// angle * weight * (-1)^|b & parity| where all bits of `ones` are set.
struct Phase {
  uint64_t parity, ones;
  int slot;
  double weight;
};

// How the phases of a stage are computed.
enum class PhaseForm {
  kSplit,   // as products of a factor of the high and a factor of the low bits
  kTables,  // angle times a table over the register, for few angles
  kFull     // over the whole register, anew each time
};

struct Op {
  explicit Op(Kind k) : kind(k) {}
  Kind kind;
  std::vector<Turn> turns;
  PhaseForm form = PhaseForm::kSplit;
  std::vector<Phase> phases;                // of a split stage those on low bits only come first
  size_t n_low = 0;                         // how many
  std::vector<std::pair<int, int>> tables;  // slot, number of the table
  int first_slot = 0, last_slot = 0;        // angles of the stage
  double total_weight = 0;                  // of all phases: bounds their sum
  std::vector<uint64_t> columns, columns_back;
  uint64_t shift = 0, shift_back = 0;
  uint64_t controls = 0, target = 0;
  uint64_t flip = 0, sign = 0;  // of a mirror's word
  std::vector<int> bits;  // of a table or matrix, the most significant first
  std::vector<double> data;
  int64_t times = 0, shared = 0, advancing = 0, start = 0;
  bool backwards = false;
  size_t end = 0;  // of a loop: the op after its body
};

struct PauliWord {
  uint64_t flip, sign;
  int ys;
};

// Words that flip the same bits and hold equally many Y modulo two: one table serves them all.
struct WordGroup {
  uint64_t flip;
  bool odd;
  std::vector<int> words;
};

struct Program {
  int n = 0;
  int64_t n_params = 0;
  int low = 0;        // bits of an amplitude's index that lie inside a vector
  int split = 0;      // low bits of a split phase stage
  std::vector<Slot> slots;
  std::vector<SlotTerm> terms;
  std::vector<Op> ops;
  std::vector<PauliWord> words;
  std::vector<WordGroup> groups;
  std::vector<std::vector<Phase>> tables;  // what is in each table; the slots are not part of it
  int widest_dense = 0;
};

namespace detail {

class Reader {
 public:
  Reader(const int64_t* code, size_t n_code, const double* reals, size_t n_reals)
      : code_(code), n_code_(n_code), reals_(reals), n_reals_(n_reals) {}

  int64_t integer() {
    if (at_ >= n_code_) throw Refused("the program ends too early");
    return code_[at_++];
  }
  int64_t within(int64_t low, int64_t high, const char* what) {
    const int64_t value = integer();
    if (value < low || value > high) {
      throw Refused(std::string(what) + " is " + std::to_string(value) + ", outside " + std::to_string(low) + " to " +
                    std::to_string(high));
    }
    return value;
  }
  double real() {
    if (real_at_ >= n_reals_) throw Refused("the program's numbers end too early");
    return reals_[real_at_++];
  }
  std::vector<double> many(size_t count) {
    if (count > n_reals_ - real_at_) throw Refused("the program's numbers end too early");
    std::vector<double> found(reals_ + real_at_, reals_ + real_at_ + count);
    real_at_ += count;
    return found;
  }
  size_t left() const { return n_code_ - at_; }
  void finish() const {
    if (at_ != n_code_ || real_at_ != n_reals_) throw Refused("the program has entries that nothing reads");
  }

 private:
  const int64_t* code_;
  size_t n_code_;
  const double* reals_;
  size_t n_reals_;
  size_t at_ = 0, real_at_ = 0;
};

inline int popcount(uint64_t x) { return __builtin_popcountll(x); }

// Columns and shift of the inverse map; column p is the image of bit p.
inline void invert(const std::vector<uint64_t>& columns, uint64_t shift, std::vector<uint64_t>& back, uint64_t& start) {
  const int n = static_cast<int>(columns.size());
  std::vector<uint64_t> image = columns, origin(n);
  for (int p = 0; p < n; ++p) origin[p] = uint64_t(1) << p;
  for (int p = 0; p < n; ++p) {
    int pivot = p;
    while (pivot < n && !(image[pivot] >> p & 1)) ++pivot;
    if (pivot == n) throw Refused("a linear map of bits has no inverse");
    std::swap(image[p], image[pivot]);
    std::swap(origin[p], origin[pivot]);
    for (int k = 0; k < n; ++k) {
      if (k != p && (image[k] >> p & 1)) {
        image[k] ^= image[p];
        origin[k] ^= origin[p];
      }
    }
  }
  back = origin;
  start = 0;
  for (int p = 0; p < n; ++p) {
    if (shift >> p & 1) start ^= back[p];
  }
}

class Decoder {
 public:
  Decoder(Reader& in, int low) : in_(in) { program_.low = low; }

  Program decode() {
    in_.within(kFormat, kFormat, "the format");
    if (in_.real() != kFormat) throw Refused("the numbers' format is unknown");
    program_.n = static_cast<int>(in_.within(1, kMaxQubits, "the number of qubits"));
    program_.n_params = in_.within(0, int64_t(1) << 40, "the number of parameters");
    const int n = program_.n, low = program_.low;
    if (low > n) throw Refused("the register is smaller than a vector");
    program_.split = low > 0 ? std::min(n, std::max(n / 2, low)) : n / 2;
    const int64_t n_words = in_.within(0, int64_t(in_.left()), "the number of words");
    for (int64_t w = 0; w < n_words; ++w) word();
    stages(in_.within(0, int64_t(in_.left()), "the number of stages"), program_.n_params, 0);
    in_.finish();
    return std::move(program_);
  }

 private:
  uint64_t mask(const char* what) {
    return static_cast<uint64_t>(in_.within(0, (int64_t(1) << program_.n) - 1, what));
  }

  void word() {
    PauliWord word{mask("a word"), mask("a word"), 0};
    word.ys = popcount(word.flip & word.sign);
    const int at = static_cast<int>(program_.words.size());
    program_.words.push_back(word);
    const bool odd = word.ys & 1;
    for (WordGroup& group : program_.groups) {
      if (group.flip == word.flip && group.odd == odd) {
        group.words.push_back(at);
        return;
      }
    }
    program_.groups.push_back({word.flip, odd, {at}});
  }

  int slot(int64_t n_params) {
    Slot slot{in_.real(), static_cast<int>(program_.terms.size()), 0};
    const int64_t count = in_.within(0, int64_t(in_.left()), "the number of terms of an angle");
    for (int64_t k = 0; k < count; ++k) {
      const int64_t index = in_.within(0, n_params - 1, "the entry of a parameter");
      program_.terms.push_back({index, in_.real()});
    }
    slot.last = static_cast<int>(program_.terms.size());
    program_.slots.push_back(slot);
    return static_cast<int>(program_.slots.size()) - 1;
  }

  void stages(int64_t count, int64_t n_params, int depth) {
    if (depth > kMaxDepth) throw Refused("loops are nested too deeply");
    for (int64_t k = 0; k < count; ++k) {
      switch (static_cast<Kind>(in_.within(1, 8, "the kind of a stage"))) {
        case Kind::kTurns: turns(n_params); break;
        case Kind::kPhases: phases(n_params); break;
        case Kind::kAffine: affine(); break;
        case Kind::kFlip: flip(); break;
        case Kind::kTable: matrix(Kind::kTable); break;
        case Kind::kDense: matrix(Kind::kDense); break;
        case Kind::kLoop: loop(n_params, depth); break;
        case Kind::kMirror: mirror(n_params); break;
      }
    }
  }

  void turns(int64_t n_params) {
    Op op(Kind::kTurns);
    const int64_t count = in_.within(1, program_.n, "the number of rotations");
    op.first_slot = static_cast<int>(program_.slots.size());
    uint64_t seen = 0;
    for (int64_t k = 0; k < count; ++k) {
      const int bit = static_cast<int>(in_.within(0, program_.n - 1, "a bit"));
      if (seen >> bit & 1) throw Refused("a rotation's bit is repeated");
      seen |= uint64_t(1) << bit;
      const bool flip = in_.within(0, 1, "a flip");
      op.turns.push_back({bit, flip, slot(n_params)});
    }
    op.last_slot = static_cast<int>(program_.slots.size());
    std::sort(op.turns.begin(), op.turns.end(), [](const Turn& a, const Turn& b) { return a.bit < b.bit; });
    program_.ops.push_back(std::move(op));
  }

  void phases(int64_t n_params) {
    const int64_t n_slots = in_.within(1, int64_t(in_.left()), "the number of angles");
    const int first = static_cast<int>(program_.slots.size());
    for (int64_t k = 0; k < n_slots; ++k) slot(n_params);
    const int64_t count = in_.within(1, int64_t(in_.left()), "the number of phases");
    Op split(Kind::kPhases), mixed(Kind::kPhases);
    split.first_slot = mixed.first_slot = first;
    split.last_slot = mixed.last_slot = static_cast<int>(program_.slots.size());
    std::vector<Phase> high;
    const uint64_t low_bits = (uint64_t(1) << program_.split) - 1;
    for (int64_t k = 0; k < count; ++k) {
      Phase phase{mask("a parity"), mask("a product"), 0, 0};
      phase.slot = first + static_cast<int>(in_.within(0, n_slots - 1, "the angle of a phase"));
      phase.weight = in_.real();
      const uint64_t reach = phase.parity | phase.ones;
      if ((reach & ~low_bits) == 0) {
        split.phases.push_back(phase);
      } else if ((reach & low_bits) == 0) {
        phase.parity >>= program_.split;
        phase.ones >>= program_.split;
        high.push_back(phase);
      } else {
        mixed.phases.push_back(phase);
      }
    }
    split.n_low = split.phases.size();
    for (const Phase& phase : mixed.phases) mixed.total_weight += std::abs(phase.weight);
    split.phases.insert(split.phases.end(), high.begin(), high.end());
    for (const Phase& phase : split.phases) split.total_weight += std::abs(phase.weight);
    if (!split.phases.empty()) program_.ops.push_back(std::move(split));
    if (!mixed.phases.empty()) {
      mixed.form = tabulate(mixed) ? PhaseForm::kTables : PhaseForm::kFull;
      program_.ops.push_back(std::move(mixed));
    }
  }

  // Gives every angle of a stage a table over the register, if there are few.
  bool tabulate(Op& op) {
    std::vector<int> slots;
    for (const Phase& phase : op.phases) {
      if (std::find(slots.begin(), slots.end(), phase.slot) == slots.end()) slots.push_back(phase.slot);
    }
    if (slots.size() > 2) return false;
    std::vector<std::vector<Phase>> wanted;
    std::vector<int> place;
    size_t fresh = 0;
    for (int slot : slots) {
      std::vector<Phase> content;
      for (Phase phase : op.phases) {
        if (phase.slot == slot) {
          phase.slot = 0;
          content.push_back(phase);
        }
      }
      int found = -1;
      for (size_t t = 0; t < program_.tables.size(); ++t) {
        if (same(program_.tables[t], content)) found = static_cast<int>(t);
      }
      if (found < 0) found = static_cast<int>(program_.tables.size() + fresh++);
      place.push_back(found);
      wanted.push_back(std::move(content));
    }
    if (program_.tables.size() + fresh > kMaxPlanes) return false;
    for (size_t k = 0; k < slots.size(); ++k) {
      if (place[k] >= static_cast<int>(program_.tables.size())) program_.tables.push_back(wanted[k]);
      op.tables.push_back({slots[k], place[k]});
    }
    return true;
  }

  static bool same(const std::vector<Phase>& a, const std::vector<Phase>& b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](const Phase& x, const Phase& y) {
             return x.parity == y.parity && x.ones == y.ones && x.weight == y.weight;
           });
  }

  void add_affine(std::vector<uint64_t> columns, uint64_t shift) {
    Op op(Kind::kAffine);
    op.columns = std::move(columns);
    op.shift = shift;
    invert(op.columns, op.shift, op.columns_back, op.shift_back);
    program_.ops.push_back(std::move(op));
  }

  void affine() {
    std::vector<uint64_t> columns(program_.n);
    for (uint64_t& column : columns) column = mask("a column");
    add_affine(std::move(columns), mask("a shift"));
  }

  void flip() {
    Op op(Kind::kFlip);
    op.controls = mask("the controls");
    op.target = mask("a target");
    if (popcount(op.target) != 1 || (op.target & op.controls)) throw Refused("a flip needs one target, no control");
    program_.ops.push_back(std::move(op));
  }

  void mirror(int64_t n_params) {
    Op op(Kind::kMirror);
    op.flip = static_cast<uint64_t>(in_.within(1, (int64_t(1) << program_.n) - 1, "what a mirror flips"));
    op.sign = mask("a mirror's signs");
    op.first_slot = slot(n_params);
    op.last_slot = op.first_slot + 1;
    program_.ops.push_back(std::move(op));
  }

  void matrix(Kind kind) {
    Op op(kind);
    const int most = kind == Kind::kDense ? std::min(kMaxDense, program_.n) : program_.n;
    const int64_t k = in_.within(1, most, "the number of wires");
    uint64_t seen = 0;
    for (int64_t j = 0; j < k; ++j) {
      op.bits.push_back(static_cast<int>(in_.within(0, program_.n - 1, "a bit")));
      if (seen >> op.bits.back() & 1) throw Refused("a wire is repeated");
      seen |= uint64_t(1) << op.bits.back();
    }
    const size_t size = size_t(1) << k;
    op.data = in_.many(kind == Kind::kDense ? 2 * size * size : 2 * size);
    if (kind == Kind::kTable) {
      program_.ops.push_back(std::move(op));
      return;
    }
    program_.widest_dense = std::max(program_.widest_dense, static_cast<int>(k));
    // A matrix acts on whole vectors: bits inside a vector change places with free bits above.
    std::vector<uint64_t> swap(program_.n);
    for (int p = 0; p < program_.n; ++p) swap[p] = uint64_t(1) << p;
    int free = program_.low;
    bool moved = false;
    for (int& bit : op.bits) {
      if (bit >= program_.low) continue;
      while (free < program_.n && (seen >> free & 1)) ++free;
      if (free == program_.n) throw Refused("a matrix is too wide for its register");
      std::swap(swap[bit], swap[free]);
      bit = free++;
      moved = true;
    }
    if (moved) add_affine(swap, 0);
    program_.ops.push_back(std::move(op));
    if (moved) add_affine(swap, 0);
  }

  void loop(int64_t n_params, int depth) {
    Op op(Kind::kLoop);
    op.times = in_.within(1, int64_t(1) << 32, "the turns of a loop");
    op.shared = in_.within(0, n_params, "the shared parameters of a loop");
    op.advancing = in_.within(0, n_params, "the advancing parameters of a loop");
    op.start = in_.within(0, n_params, "the start of a loop");
    op.backwards = in_.within(0, 1, "a loop's direction");
    if (op.advancing && op.times > n_params / op.advancing) throw Refused("a loop reads beyond the parameters");
    if (op.start + op.shared + op.times * op.advancing > n_params) throw Refused("a loop reads beyond the parameters");
    const int64_t inner = op.shared + op.advancing;
    const int64_t count = in_.within(0, int64_t(in_.left()), "the number of stages");
    const size_t at = program_.ops.size();
    program_.ops.push_back(std::move(op));
    stages(count, inner, depth + 1);
    program_.ops[at].end = program_.ops.size();
  }

  Reader& in_;
  Program program_;
};

}  // namespace detail

// Decodes a program for vectors that hold 2**low amplitudes of one state, or (low = 0) one amplitude of many states.
inline Program decode(const int64_t* code, size_t n_code, const double* reals, size_t n_reals, int low) {
  detail::Reader in(code, n_code, reals, n_reals);
  return detail::Decoder(in, low).decode();
}

}  // namespace qgen
