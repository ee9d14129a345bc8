// SPDX-License-Identifier: Apache-2.0
//
// Names come from the target's symbol tables: none may hurt, and tidying never makes a name longer than the shortest
// replacement can.
#include <cstdlib>
#include <string>

#include "stack/function_name.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string name(reinterpret_cast<const char*>(data), size);
    if (loopwatch::tidy_function(name).size() > name.size()) std::abort();
    loopwatch::demangle(name.c_str());
    return 0;
}
