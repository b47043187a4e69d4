// Threads that share out work whose parts do not depend on how many threads there are.
#pragma once

#include <algorithm>
#include <cstddef>

namespace qgen {

class Team {
 public:
  virtual ~Team() = default;
  virtual size_t size() const = 0;
  // Calls task(data, k) once for every k below `count`, from any thread, and returns when all are done.
  virtual void run(size_t count, void (*task)(void*, size_t), void* data) = 0;
};

class Alone final : public Team {
 public:
  size_t size() const override { return 1; }
  void run(size_t count, void (*task)(void*, size_t), void* data) override {
    for (size_t k = 0; k < count; ++k) task(data, k);
  }
};

// Splits [0, units) into at most `parts` ranges and calls f(begin, end, part). With one part it is a plain call.
template <class F>
inline void over(Team& team, size_t units, size_t parts, F f) {
  parts = std::max<size_t>(1, std::min(parts, units));
  if (parts == 1) {
    f(size_t(0), units, size_t(0));
    return;
  }
  struct Job {
    F& f;
    size_t units, parts;
  } job{f, units, parts};
  team.run(
      parts,
      [](void* data, size_t k) {
        Job& j = *static_cast<Job*>(data);
        j.f(j.units * k / j.parts, j.units * (k + 1) / j.parts, k);
      },
      &job);
}

}  // namespace qgen
