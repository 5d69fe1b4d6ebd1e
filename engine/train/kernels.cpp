// Compiled once for each instruction set, with FIELDPACK_ISA naming the namespace.
#include "kernels.hpp"

#include "context.hpp"
#include "filtering.hpp"
#include "ms_ssim_kernel.hpp"
#include "quantiser.hpp"
#include "synthesis.hpp"
#include "upsampling.hpp"

#define FIELDPACK_STRING_(x) #x
#define FIELDPACK_STRING(x) FIELDPACK_STRING_(x)

namespace fieldpack::train::FIELDPACK_ISA {

static void add_lanes(const float* sums, ptrdiff_t count, float* totals) {
  for (ptrdiff_t i = 0; i < count; ++i) totals[i] += sum(load(sums + i * kLanes));
}

extern const Kernels table;
const Kernels table = {
    FIELDPACK_STRING(FIELDPACK_ISA),
    kLanes,
    quantise,
    context,
    filter,
    filter_gradient,
    upsample,
    upsample_gradient,
    synthesis,
    adam,
    window_moments,
    similarity,
    add_lanes,
    context_workspace,
    synthesis_workspace,
    similarity_workspace,
};

}  // namespace fieldpack::train::FIELDPACK_ISA
