// SPDX-License-Identifier: Apache-2.0
//
// Names of functions as a person wrote them: demangled, without what compilers add. Pure; the mangled input may be
// hostile, so demangle() runs in the worker only.
#pragma once

#include <string>
#include <string_view>

namespace loopwatch {

// Undoes what a compiler did to a (demangled) name: a coroutine's body gets its coroutine's name back, clone and ABI
// tags go, so does a template's return type, std::string is called by its name. Anything it does not understand stays
// as it is.
std::string tidy_function(std::string_view name);

// tidy_function() of the demangled symbol; of the symbol itself if it is not mangled.
std::string demangle(const char* symbol);
// The same of a type's, as std::type_info has it: "St13runtime_error".
std::string demangle_type(const char* name);

}  // namespace loopwatch
