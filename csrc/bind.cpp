// The Python module `rmeeto._native`. Tensors arrive as data_ptr() integers, so no torch headers are needed.
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <vector>

#include "isa.h"
#include "module.h"

NB_MODULE(_native, m) {
  using namespace rmeeto;
  m.attr("source_hash") = RM_SOURCE_HASH;
#ifdef RM_OPENMP
  m.attr("openmp") = true;
#else
  m.attr("openmp") = false;
#endif
  m.def("isa", [] { return std::string(isa_name(isa())); });
  m.def("set_isa", [](const std::string& name) { return set_isa(name.c_str()); });
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (Isa which : {kGeneric, kAvx2, kAvx512})
      if (isa_available(which)) names.emplace_back(isa_name(which));
    return names;
  });
  m.def("set_poison", &set_poison);
  for (Binder* b = Binder::first(); b; b = b->next) b->add(m);
}
