// How a `*_bind.cpp` adds its functions to the module: a file-level `static Binder b(add_my_functions);`.
#pragma once
#include <nanobind/nanobind.h>

#include <cstdint>

namespace rmeeto {

using Address = std::uintptr_t;  // a tensor's data_ptr(); 0 for None

template <class T>
T* at(Address address) {
  return reinterpret_cast<T*>(address);
}

struct Binder {
  using Add = void (*)(nanobind::module_&);
  explicit Binder(Add add) : add(add), next(first()) { first() = this; }
  static Binder*& first() {
    static Binder* head = nullptr;
    return head;
  }
  Add add;
  Binder* next;
};

}  // namespace rmeeto
