// Runs a program over a batch: chooses how states lie in vectors, shares the batch out to threads, copies data.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <list>
#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "run.h"

namespace qgen {

constexpr int kThreadedQubits = 18;              // from here on threads work inside one state
constexpr int kThreadedAlone = 17;               // the same for a state that has no batch to share out
constexpr size_t kLanesBytes = size_t(3) << 20;  // scratch up to which a vector holds one amplitude of many states
constexpr size_t kKeepBytes = size_t(16) << 20;  // scratch memory that a thread keeps between calls
constexpr size_t kCheckedBytes = size_t(256) << 20;  // memory from which on the machine is asked whether it has it
constexpr size_t kCachedPrograms = 64;
constexpr size_t kCachedBytes = size_t(64) << 20;  // phase tables that the cache of programs keeps

enum class Mode : int64_t {
  kState = 0,         // params, start -> psi
  kStateBack = 1,     // params, psi, lam -> gradient, cotangent of start
  kValues = 2,        // params, start, coefficients -> values, words
  kValueAndGrad = 3,  // params, start, coefficients (one observable) -> values, words, gradient, cotangent of start
  kValuesState = 4,   // params, start, coefficients -> values, words, psi
  kValuesBack = 5     // params, psi, coefficients, cotangents -> gradient, cotangent of start
};

// An array with a batch: element e begins at data + offset(e). Axes of length 1 are shared.
template <class T>
struct Operand {
  T* data = nullptr;
  size_t length = 0;  // of one element; 0: the operand is absent
  std::vector<int64_t> dims, strides;

  T* at(size_t element) const {
    if (dims.size() == 1) return data + static_cast<int64_t>(element) * strides[0];
    int64_t offset = 0;
    for (size_t d = dims.size(); d-- > 0;) {
      offset += static_cast<int64_t>(element % static_cast<size_t>(dims[d])) * strides[d];
      element /= static_cast<size_t>(dims[d]);
    }
    return data + offset;
  }
};

template <class T>
struct Call {
  Mode mode;
  size_t batch = 1, n_observables = 0;
  Operand<const T> params, start, coefficients, psi_in, lam_in, cotangents;
  Operand<T> psi_out, gradient, start_out, values, words;
};

// Whether the machine has so much memory to give. Linux promises more than it has, and kills who uses it.
inline bool is_available(size_t bytes) {
#ifdef __linux__
  if (bytes < kCheckedBytes) return true;
  std::FILE* file = std::fopen("/proc/meminfo", "r");
  if (!file) return true;
  char line[128];
  unsigned long long kilobytes = 0;
  bool found = false;
  while (!found && std::fgets(line, sizeof line, file)) {
    found = std::sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1;
  }
  std::fclose(file);
  return !found || bytes / 1024 < kilobytes;
#else
  (void)bytes;
  return true;
#endif
}

class Memory {
 public:
  explicit Memory(size_t bytes) : bytes_(bytes + kAlignment) {
    raw_ = is_available(bytes_) ? std::malloc(bytes_) : nullptr;
    if (!raw_) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (bytes_ >= (size_t(4) << 20)) {  // faults of large pages are far cheaper
      const uintptr_t page = 4096, low = (reinterpret_cast<uintptr_t>(raw_) + page - 1) & ~(page - 1);
      const uintptr_t high = (reinterpret_cast<uintptr_t>(raw_) + bytes_) & ~(page - 1);
      madvise(reinterpret_cast<void*>(low), high - low, MADV_HUGEPAGE);
    }
#endif
  }
  ~Memory() { std::free(raw_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* aligned() const {
    return reinterpret_cast<void*>((reinterpret_cast<uintptr_t>(raw_) + kAlignment - 1) & ~uintptr_t(kAlignment - 1));
  }
  size_t bytes() const { return bytes_ - kAlignment; }

 private:
  static constexpr size_t kAlignment = 64;
  size_t bytes_;
  void* raw_;
};

// Scratch memory of one thread; a small one stays for the next call.
class Lease {
 public:
  explicit Lease(size_t bytes) {
    thread_local std::unique_ptr<Memory> kept;
    kept_ = &kept;
    if (kept && kept->bytes() >= bytes) {
      memory_ = std::move(kept);
    } else {
      kept.reset();
      memory_ = std::make_unique<Memory>(bytes);
    }
  }
  ~Lease() {
    if (memory_->bytes() <= kKeepBytes) *kept_ = std::move(memory_);
  }
  void* aligned() const { return memory_->aligned(); }

 private:
  std::unique_ptr<Memory>* kept_;
  std::unique_ptr<Memory> memory_;
};

// A decoded program with its tables of phases, which are made when it first runs.
template <class T>
class Plan {
 public:
  explicit Plan(Program decoded) : program(std::move(decoded)) {}

  const Program program;

  const std::vector<const T*>& tables(Team& team) const {
    std::call_once(made_, [&] {
      // The tables are the same for every state, so their amplitudes lie side by side whatever the layout.
      const int n = program.n, low = n >= Simd<T>::log_width ? Simd<T>::log_width : 0;
      const size_t vectors = size_t(1) << (n - low);
      for (const auto& content : program.tables) {
        memory_.push_back(std::make_unique<Memory>(vectors * sizeof(Vec<T>)));
        auto* table = static_cast<Vec<T>*>(memory_.back()->aligned());
        auto weight = [](const Phase& p) { return splat<T>(static_cast<T>(p.weight)); };
        angles<T>(table, n, low, content.data(), content.data() + content.size(), weight, team);
        auto* flat = reinterpret_cast<T*>(table);
        for (size_t k = 0; low == 0 && k < vectors; ++k) flat[k] = table[k][0];
        tables_.push_back(flat);
      }
    });
    return tables_;
  }
  size_t table_bytes() const { return program.tables.size() * (sizeof(T) << program.n); }

 private:
  mutable std::once_flag made_;
  mutable std::vector<std::unique_ptr<Memory>> memory_;
  mutable std::vector<const T*> tables_;
};

// Programs that were decoded before, found again by their content.
template <class T>
class Plans {
 public:
  std::shared_ptr<const Plan<T>> find(const int64_t* code, size_t n_code, const double* reals, size_t n_reals,
                                      int low) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (auto it = entries_.begin(); it != entries_.end(); ++it) {
        if (it->low == low && it->code.size() == n_code && it->reals.size() == n_reals &&
            std::memcmp(it->code.data(), code, n_code * sizeof(int64_t)) == 0 &&
            std::memcmp(it->reals.data(), reals, n_reals * sizeof(double)) == 0) {
          entries_.splice(entries_.begin(), entries_, it);
          return entries_.front().plan;
        }
      }
    }
    auto plan = std::make_shared<const Plan<T>>(decode(code, n_code, reals, n_reals, low));
    if (plan->table_bytes() > kCachedBytes) return plan;
    std::lock_guard<std::mutex> lock(mutex_);
    entries_.push_front({low, {code, code + n_code}, {reals, reals + n_reals}, plan});
    size_t count = 0, bytes = 0;
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      bytes += it->plan->table_bytes();
      if (++count > kCachedPrograms || bytes > kCachedBytes) {
        entries_.erase(it, entries_.end());
        break;
      }
    }
    return plan;
  }

 private:
  struct Entry {
    int low;
    std::vector<int64_t> code;
    std::vector<double> reals;
    std::shared_ptr<const Plan<T>> plan;
  };
  std::mutex mutex_;
  std::list<Entry> entries_;
};

// Copies one or several elements into vectors and back. `count` lanes are in use; the others repeat the last.
template <class T>
class Transfer {
 public:
  Transfer(size_t first, size_t count, bool lanes) : first_(first), count_(count), lanes_(lanes) {}

  void load(const Operand<const T>& from, Vec<T>* to) const {  // numbers: a lane holds its element's, or all the same
    if (!lanes_) {
      const T* x = from.at(first_);
      for (size_t k = 0; k < from.length; ++k) to[k] = splat<T>(x[k]);
      return;
    }
    each_lane([&](size_t lane, size_t element) {
      const T* x = from.at(element);
      T* y = reinterpret_cast<T*>(to) + lane;
      for (size_t k = 0; k < from.length; ++k) y[k * Simd<T>::width] = x[k];
    });
  }
  void store(const Vec<T>* from, const Operand<T>& to) const {
    for (size_t lane = 0; lane < count_; ++lane) {
      T* x = to.at(first_ + lane);
      const T* y = reinterpret_cast<const T*>(from) + lane;
      for (size_t k = 0; k < to.length; ++k) x[k] = y[k * Simd<T>::width];
    }
  }
  void load_state(const Operand<const T>& from, Vec<T>* to) const {
    if (lanes_) {
      load(from, to);
    } else {
      std::memcpy(static_cast<void*>(to), from.at(first_), from.length * sizeof(T));
    }
  }
  void store_state(const Vec<T>* from, const Operand<T>& to) const {
    if (lanes_) {
      store(from, to);
    } else {
      std::memcpy(to.at(first_), from, to.length * sizeof(T));
    }
  }

 private:
  template <class F>
  void each_lane(F f) const {
    for (size_t lane = 0; lane < static_cast<size_t>(Simd<T>::width); ++lane) {
      f(lane, first_ + (lane < count_ ? lane : count_ - 1));
    }
  }
  size_t first_, count_;
  bool lanes_;
};

template <class T>
inline void run_block(const Plan<T>& plan, const Call<T>& call, Needs needs, size_t first, size_t count, Team& team) {
  const Program& p = plan.program;
  const Transfer<T> transfer(first, count, p.low == 0);
  const Lease lease(Sizes<T>(p, needs).total(needs) * sizeof(Vec<T>));
  Run<T> run(p, plan.tables(team), team, needs, static_cast<Vec<T>*>(lease.aligned()));
  transfer.load(call.params, run.params);
  if (call.mode == Mode::kStateBack || call.mode == Mode::kValuesBack) {
    transfer.load_state(call.psi_in, run.psi());
  } else {
    if (call.start.length) transfer.load_state(call.start, run.psi());
    run.forward(!call.start.length);
  }
  if (call.psi_out.length) transfer.store_state(run.psi(), call.psi_out);
  const size_t n_words = p.words.size();
  if (needs.values) transfer.load(call.coefficients, run.coefficients);
  if (call.values.length) {
    run.measure();
    for (size_t o = 0; o < needs.n_observables; ++o) {
      Vec<T> total{};
      for (size_t w = 0; w < n_words; ++w) total += run.coefficients[o * n_words + w] * run.words[w];
      run.values[o] = total;
    }
    transfer.store(run.values, call.values);
    if (call.words.length) transfer.store(run.words, call.words);
  }
  if (!needs.backward) return;
  if (call.mode == Mode::kStateBack) {
    transfer.load_state(call.lam_in, run.lam());
  } else {
    if (call.mode == Mode::kValuesBack) {
      transfer.load(call.cotangents, run.cotangents);
    } else {
      run.cotangents[0] = splat<T>(1);
    }
    for (size_t w = 0; w < n_words; ++w) {
      Vec<T> total{};
      for (size_t o = 0; o < needs.n_observables; ++o) total += run.coefficients[o * n_words + w] * run.cotangents[o];
      run.word_weights[w] = total;
    }
    run.pull();
  }
  run.backward(call.start_out.length > 0);
  if (call.gradient.length) transfer.store(run.grads, call.gradient);
  if (call.start_out.length) transfer.store_state(run.lam(), call.start_out);
}

// Whether a vector holds one amplitude of many states (low = 0) rather than neighbouring amplitudes of one.
template <class T>
inline int choose_low(const Program& in_lanes, const Call<T>& call, Needs needs) {
  constexpr int log_width = Simd<T>::log_width, width = Simd<T>::width;
  if (in_lanes.n < log_width || in_lanes.widest_dense > in_lanes.n - log_width) return 0;
  const bool fits = Sizes<T>(in_lanes, needs).total(needs) * sizeof(Vec<T>) <= kLanesBytes;
  return fits && 2 * call.batch >= static_cast<size_t>(width) ? 0 : log_width;
}

template <class T>
inline void run(Plans<T>& plans, const int64_t* code, size_t n_code, const double* reals, size_t n_reals,
                const Call<T>& call, Team& team) {
  Needs needs;
  needs.backward = call.mode == Mode::kStateBack || call.mode == Mode::kValueAndGrad || call.mode == Mode::kValuesBack;
  needs.values = call.mode >= Mode::kValues;
  needs.n_observables = call.n_observables;
  Alone alone;
  auto plan = plans.find(code, n_code, reals, n_reals, 0);
  const int low = choose_low<T>(plan->program, call, needs);
  if (low > 0) plan = plans.find(code, n_code, reals, n_reals, low);
  const size_t each = low > 0 ? 1 : static_cast<size_t>(Simd<T>::width), blocks = (call.batch + each - 1) / each;
  const bool inside = plan->program.n >= (blocks == 1 ? kThreadedAlone : kThreadedQubits);
  if (inside || blocks == 1) {
    for (size_t b = 0; b < blocks; ++b) {
      run_block<T>(*plan, call, needs, b * each, std::min(each, call.batch - b * each), inside ? team : alone);
    }
    return;
  }
  over(team, blocks, team.size() > 1 ? blocks : 1, [&](size_t begin, size_t end, size_t) {
    Alone single;
    for (size_t b = begin; b < end; ++b) {
      run_block<T>(*plan, call, needs, b * each, std::min(each, call.batch - b * each), single);
    }
  });
}

}  // namespace qgen
