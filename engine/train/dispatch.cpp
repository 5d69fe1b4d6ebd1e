#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace fieldpack::train {

namespace baseline { extern const Kernels table; }
#ifdef FIELDPACK_X86
namespace avx2 { extern const Kernels table; }
namespace avx512 { extern const Kernels table; }
#endif

static const Kernels* supported(const std::string& isa) {
  if (isa == "baseline") return &baseline::table;
#ifdef FIELDPACK_X86
  __builtin_cpu_init();
  if (isa == "avx2" && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("bmi2"))
    return &avx2::table;
  if (isa == "avx512" && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return &avx512::table;
#endif
  return nullptr;
}

const Kernels& kernels() {
  if (const char* forced = std::getenv("FIELDPACK_ISA"); forced && *forced) {
    if (const Kernels* table = supported(forced)) return *table;
    throw std::runtime_error(std::string("FIELDPACK_ISA=") + forced +
                             " is not an instruction set of this machine and build");
  }
  for (const char* isa : {"avx512", "avx2"})
    if (const Kernels* table = supported(isa)) return *table;
  return baseline::table;
}

}  // namespace fieldpack::train
