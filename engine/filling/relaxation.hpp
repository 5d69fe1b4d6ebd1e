// Relaxes a surface towards the smoothest one through known samples.
#pragma once

namespace fieldpack::filling {

// Minimises the thin plate's energy, its squared Laplacians, plus `tension` times the membrane's, its
// squared gradients, over the values at missing pixels, by gradient steps with momentum.
//
// values: [height][width][channels], the start, and then the result; mask: [height][width], nonzero
// where a pixel keeps its values. The result depends neither on `threads` nor on the machine.
void relax(float* values, const unsigned char* mask, int height, int width, int channels,
           float tension, float momentum, int iterations, int threads);

}  // namespace fieldpack::filling
