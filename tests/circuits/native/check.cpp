// A program of its own for the sanitisers: random circuits in both layouts, on threads, damaged, against differences.
//
// c++ -std=c++17 -O1 -g -fsanitize=address,undefined -pthread -I qgen/circuits/native tests/circuits/native/check.cpp

#include <cstdio>
#include <random>
#include <thread>

#include "batch.h"

namespace qgen {
namespace {

class Threads final : public Team {
 public:
  explicit Threads(size_t count) : count_(count) {}
  size_t size() const override { return count_; }
  void run(size_t count, void (*task)(void*, size_t), void* data) override {
    std::atomic<size_t> next{0};
    auto work = [&] {
      for (size_t k; (k = next.fetch_add(1)) < count;) task(data, k);
    };
    std::vector<std::thread> threads;
    for (size_t k = 1; k < count_; ++k) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
  }

 private:
  size_t count_;
};

struct Code {
  std::vector<int64_t> code;
  std::vector<double> reals{kFormat};
};

class Author {  // writes random programs
 public:
  explicit Author(unsigned seed) : random_(seed) {}
  int below(int n) { return static_cast<int>(random_() % static_cast<unsigned>(n)); }
  double real(double size = 1) { return std::uniform_real_distribution<double>(-size, size)(random_); }

  Code program(int n, int n_params) {
    Code out;
    out.code = {kFormat, n, n_params, 4};
    for (int w = 0; w < 4; ++w) out.code.insert(out.code.end(), {w == 3 ? 0 : below(1 << n), below(1 << n)});
    stages(out, n, n_params, 6, 0);
    return out;
  }

 private:
  void slot(Code& out, int n_params) {
    out.reals.push_back(real(3));
    const int terms = n_params > 0 ? below(3) : 0;
    out.code.push_back(terms);
    for (int t = 0; t < terms; ++t) {
      out.code.push_back(below(n_params));
      out.reals.push_back(real(2));
    }
  }

  void stages(Code& out, int n, int n_params, int count, int depth) {
    out.code.push_back(count);
    for (int k = 0; k < count; ++k) {
      int kind = 1 + below(depth < 2 ? 8 : 7);
      if (depth == 2 && kind == 7) kind = 8;
      out.code.push_back(kind);
      if (kind == 1) {
        std::vector<int> bits = order(n);
        const int turns = 1 + below(n);
        out.code.push_back(turns);
        for (int t = 0; t < turns; ++t) {
          out.code.insert(out.code.end(), {bits[t], below(2)});
          slot(out, n_params);
        }
      } else if (kind == 2) {
        const int slots = 1 + below(4), phases = 1 + below(9);
        out.code.push_back(slots);
        for (int s = 0; s < slots; ++s) slot(out, n_params);
        out.code.push_back(phases);
        for (int p = 0; p < phases; ++p) {
          const int ones = below(3) ? 0 : below(1 << n);
          out.code.insert(out.code.end(), {below(1 << n) & ~ones, ones, below(slots)});
          out.reals.push_back(real(2));
        }
      } else if (kind == 3) {
        std::vector<int64_t> columns(n);
        for (int p = 0; p < n; ++p) columns[p] = int64_t(1) << p;
        for (int step = 0; step < 3 * n && n > 1; ++step) {
          const std::vector<int> pair = order(n);
          for (int64_t& column : columns) column ^= (column >> pair[0] & 1) << pair[1];
        }
        out.code.insert(out.code.end(), columns.begin(), columns.end());
        out.code.push_back(below(1 << n));
      } else if (kind == 4) {
        const int target = 1 << below(n);
        out.code.insert(out.code.end(), {below(1 << n) & ~target, target});
      } else if (kind == 5 || kind == 6) {
        const int k2 = 1 + below(std::min(n, 3));
        const std::vector<int> bits = order(n);
        out.code.push_back(k2);
        out.code.insert(out.code.end(), bits.begin(), bits.begin() + k2);
        const int size = 1 << k2;
        if (kind == 5) {
          for (int j = 0; j < size; ++j) unit(out);
        } else {  // a permutation with phases is unitary
          const std::vector<int> to = order(size);
          for (int i = 0; i < size; ++i) {
            for (int j = 0; j < size; ++j) {
              if (to[i] == j) unit(out);
              if (to[i] != j) out.reals.insert(out.reals.end(), {0.0, 0.0});
            }
          }
        }
      } else if (kind == 8) {
        out.code.insert(out.code.end(), {1 + below((1 << n) - 1), below(1 << n)});
        slot(out, n_params);
      } else {
        const int times = 2 + below(2), shared = below(n_params + 1), advancing = (n_params - shared) / times;
        out.code.insert(out.code.end(), {times, shared, advancing, 0, below(2)});
        stages(out, n, shared + advancing, 3, depth + 1);
      }
    }
  }

  void unit(Code& out) {
    const double angle = real(3);
    out.reals.insert(out.reals.end(), {std::cos(angle), std::sin(angle)});
  }

  std::vector<int> order(int n) {
    std::vector<int> found(n);
    for (int k = 0; k < n; ++k) found[k] = k;
    std::shuffle(found.begin(), found.end(), random_);
    return found;
  }

  std::mt19937 random_;
};

template <class T>
Operand<T> operand(std::vector<typename std::remove_const<T>::type>& values, size_t length, int64_t batch) {
  Operand<T> found;
  found.data = values.data();
  found.length = length;
  found.dims = {batch};
  found.strides = {static_cast<int64_t>(values.size() > length ? length : 0)};
  return found;
}

template <class T>
struct Outcome {
  std::vector<T> values, gradient, start;
};

// Value and gradient of the sum of all words for a batch.
template <class T>
Outcome<T> evaluate(Plans<T>& plans, const Code& program, std::vector<T> params, std::vector<T> start, int64_t batch,
                    Team& team) {
  const int n = static_cast<int>(program.code[1]);
  const size_t p = static_cast<size_t>(program.code[2]), w = static_cast<size_t>(program.code[3]);
  const size_t state = size_t(2) << n;
  std::vector<T> coefficients(w, 1), words(batch * w);
  Outcome<T> out{std::vector<T>(batch), std::vector<T>(batch * p), std::vector<T>(batch * state)};
  Call<T> call;
  call.mode = Mode::kValueAndGrad;
  call.batch = static_cast<size_t>(batch);
  call.n_observables = 1;
  call.params = operand<const T>(params, p, batch);
  call.start = operand<const T>(start, state, batch);
  call.coefficients = operand<const T>(coefficients, w, batch);
  call.values = operand<T>(out.values, 1, batch);
  call.words = operand<T>(words, w, batch);
  call.gradient = operand<T>(out.gradient, p, batch);
  call.start_out = operand<T>(out.start, state, batch);
  run<T>(plans, program.code.data(), program.code.size(), program.reals.data(), program.reals.size(), call, team);
  return out;
}

int failures = 0;

void expect(bool good, const char* what, int n, unsigned seed) {
  if (good) return;
  ++failures;
  std::printf("failed: %s at n = %d, seed %u\n", what, n, seed);
}

template <class T>
bool close(const std::vector<T>& a, const std::vector<T>& b, double tolerance) {
  double worst = a.size() == b.size() ? 0 : 1;
  for (size_t k = 0; k < std::min(a.size(), b.size()); ++k) {
    worst = std::max(worst, std::abs(static_cast<double>(a[k]) - static_cast<double>(b[k])));
  }
  return worst <= tolerance;
}

template <class T>
void check(int n, unsigned seed, bool damage) {
  Author author(seed);
  const int64_t batch = 11;
  const int p = 7;
  Code program = author.program(n, p);
  std::vector<T> params(batch * p), start(size_t(2) << n);
  for (T& x : params) x = static_cast<T>(author.real(2));
  double norm = 0;
  for (T& x : start) x = static_cast<T>(author.real()), norm += static_cast<double>(x) * static_cast<double>(x);
  for (T& x : start) x = static_cast<T>(static_cast<double>(x) / std::sqrt(norm));
  Plans<T> plans;
  Threads threads(3);
  Alone alone;
  const double tolerance = sizeof(T) == 4 ? 2e-4 : 1e-12;
  const Outcome<T> all = evaluate<T>(plans, program, params, start, batch, threads);
  for (int64_t b = 0; b < batch; b += 5) {
    const std::vector<T> own(params.begin() + b * p, params.begin() + (b + 1) * p);
    const Outcome<T> one = evaluate<T>(plans, program, own, start, 1, alone);
    const std::vector<T> gradient(all.gradient.begin() + b * p, all.gradient.begin() + (b + 1) * p);
    expect(std::abs(one.values[0] - all.values[b]) <= tolerance, "value in a batch", n, seed);
    expect(close<T>(one.gradient, gradient, tolerance), "gradient in a batch", n, seed);
    if (sizeof(T) == 8) {
      const double step = 1e-5;
      for (int k = 0; k < p; ++k) {
        std::vector<T> up = own, down = own;
        up[k] += static_cast<T>(step);
        down[k] -= static_cast<T>(step);
        const Outcome<T> above = evaluate<T>(plans, program, up, start, 1, alone);
        const Outcome<T> below = evaluate<T>(plans, program, down, start, 1, alone);
        const double slope = (above.values[0] - below.values[0]) / (2 * step);
        expect(std::abs(slope - static_cast<double>(one.gradient[k])) < 1e-6, "gradient", n, seed);
      }
    }
  }
  for (int k = 0; damage && k < 40; ++k) {
    Code broken = program;
    const int64_t odd[] = {-1, 0, 1, 2, 5, 9, 63, int64_t(1) << 31, int64_t(1) << 62, INT64_MIN, INT64_MAX};
    const int body = static_cast<int>(broken.code.size()) - 4;
    broken.code[4 + static_cast<size_t>(author.below(body))] = odd[author.below(11)];
    if (k % 3 == 0) broken.code.resize(4 + static_cast<size_t>(author.below(body)));
    if (k % 5 == 0) broken.reals.resize(static_cast<size_t>(author.below(static_cast<int>(broken.reals.size()))));
    try {
      evaluate<T>(plans, broken, params, start, batch, alone);
    } catch (const Refused&) {
    }
  }
}

// Threads inside one state must not change its numbers by more than the order of sums does.
void check_wide(unsigned seed) {
  const int n = kThreadedQubits, p = 5;
  Author author(seed);
  const Code program = author.program(n, p);
  std::vector<float> params(p), start(size_t(2) << n);
  for (float& x : params) x = static_cast<float>(author.real(2));
  start[5] = 1;
  Plans<float> plans;
  Threads threads(3);
  Alone alone;
  const Outcome<float> shared = evaluate<float>(plans, program, params, start, 1, threads);
  const Outcome<float> single = evaluate<float>(plans, program, params, start, 1, alone);
  expect(close<float>(shared.values, single.values, 1e-5), "value on threads", n, seed);
  expect(close<float>(shared.gradient, single.gradient, 2e-4), "gradient on threads", n, seed);
  expect(close<float>(shared.start, single.start, 1e-5), "state on threads", n, seed);
}

}  // namespace
}  // namespace qgen

int main() {
  for (unsigned seed = 0; seed < 24; ++seed) {
    const int n = 1 + static_cast<int>(seed % 8);
    qgen::check<float>(n, seed, true);
    qgen::check<double>(n, seed, true);
  }
  for (unsigned seed = 100; seed < 103; ++seed) qgen::check_wide(seed);
  std::printf("%d failed\n", qgen::failures);
  return qgen::failures != 0;
}
