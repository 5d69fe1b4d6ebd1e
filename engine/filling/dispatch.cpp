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
namespace avx512 {
extern const Kernels table;
}
#endif

const Kernels& kernels() {
#if defined(__x86_64__)
  const std::string isa = fieldpack::kernels().name;
  if (isa == "avx512") return avx512::table;
  if (isa == "avx2") return avx2::table;
#endif
  return baseline::table;
}

}  // namespace fieldpack::filling
