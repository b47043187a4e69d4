// Names the best instruction set of this processor among those that the library is built for.

#define QGEN_EXPORT extern "C" __attribute__((visibility("default")))

// A digest of the sources that the libraries were built from.
QGEN_EXPORT const char* qgen_sources() { return QGEN_SOURCES; }

QGEN_EXPORT const char* qgen_best() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return "avx512";
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2";
#endif
  return "baseline";
}
