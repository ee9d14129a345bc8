// SPDX-License-Identifier: Apache-2.0
//
// Demangled names, made short enough to be said and stable enough to be compared.
#pragma once

#include <string>
#include <string_view>

namespace loopwatch {

// The qualified name alone, with its template arguments: no return type, parameters, qualifiers, anonymous namespaces,
// compiler clones ("[clone .constprop.0]", ".cold") or numbers of lambdas. "void db::Store<int>::flush(int) const" →
// "db::Store<int>::flush", "save(int)::{lambda()#2}::operator()() const" → "save::{lambda}". The same for every build
// of the same source.
std::string plain_name(std::string_view function);

// As plain_name, with long template arguments as "<…>": what a verdict says.
std::string spoken_name(std::string_view function);

}  // namespace loopwatch
