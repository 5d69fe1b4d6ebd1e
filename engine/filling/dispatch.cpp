#include <string>

#include "filling/kernels.hpp"
#include "simd/kernels.hpp"

namespace fieldpack::filling {

namespace baseline {
extern const Kernels table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Kernels table;
}
#endif

const Kernels& kernels() {
#if defined(__x86_64__)
  // Vectors of eight: nothing to gain from wider ones.
  if (std::string(fieldpack::kernels().name) != "baseline") return avx2::table;
#endif
  return baseline::table;
}

}  // namespace fieldpack::filling
