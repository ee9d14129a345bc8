// SPDX-License-Identifier: Apache-2.0
//
// Names of Rust functions, as people write them: the v0 mangling (RFC 2603, the default of rustc 1.9x), and what the
// legacy one has hidden in names that C++ demangles. Crates' hashes are left out. Runs in the worker: every byte is the
// target's, so depth, steps and length are bounded.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace loopwatch {

// "_RNvCs1234_7mycrate3foo" → "mycrate::foo"; nullopt: not of this mangling.
std::optional<std::string> demangle_rust(std::string_view symbol);

// "_$LT$a..B$u20$as$u20$c..D$GT$::f::h0123456789abcdef" → "<a::B as c::D>::f"; any other name stays as it is.
std::string tidy_rust(std::string name);

}  // namespace loopwatch
