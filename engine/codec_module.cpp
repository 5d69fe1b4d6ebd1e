#include <nanobind/nanobind.h>

void bind_codec(nanobind::module_& module);

NB_MODULE(_engine, module) { bind_codec(module); }
