// exp(-x) from IEEE operations only: a library's exp may differ between machines in its last bit
// (docs/format.md, section 5).
#pragma once

namespace fieldpack {

// For x >= 0: halved ten times, Taylor's polynomial of degree 6, squared ten times. 0 from 40 on,
// and for NaN.
inline double exact_exponential(double x) {
    if (!(x < 40.0)) return 0.0;
    const double r = x / -1024.0;
    double y = 1.0 + r / 6.0;
    y = 1.0 + r / 5.0 * y;
    y = 1.0 + r / 4.0 * y;
    y = 1.0 + r / 3.0 * y;
    y = 1.0 + r / 2.0 * y;
    y = 1.0 + r * y;
    for (int i = 0; i < 10; ++i) y = y * y;
    return y;
}

}  // namespace fieldpack
