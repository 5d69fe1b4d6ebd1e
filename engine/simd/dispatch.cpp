#include <cstdlib>
#include <stdexcept>
#include <string>

#include "simd/kernels.hpp"

namespace fieldpack {

namespace baseline {
extern const Kernels table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
#endif

namespace {

bool has_avx2() {
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

bool has_avx512() {
#if defined(__x86_64__)
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

}  // namespace

const Kernels& kernels(const char* isa) {
    const std::string name = isa;
    if (name == "baseline") return baseline::table;
#if defined(__x86_64__)
    if (name == "avx2" && has_avx2()) return avx2::table;
    if (name == "avx512" && has_avx512()) return avx512::table;
#endif
    throw std::invalid_argument("instruction set '" + name +
                                "' is unknown or not available on this machine");
}

const Kernels& kernels() {
    const char* forced = std::getenv("FIELDPACK_ISA");
    if (forced != nullptr && *forced != '\0') return kernels(forced);
    static const Kernels& best =
        kernels(has_avx512() ? "avx512" : has_avx2() ? "avx2" : "baseline");
    return best;
}

}  // namespace fieldpack
