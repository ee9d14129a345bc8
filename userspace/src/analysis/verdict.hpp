// SPDX-License-Identifier: Apache-2.0
//
// The sentence a person would say about a finding. Times are rounded to three digits, paths of source files cut to
// their names.
#pragma once

#include <string>

#include "analysis/finding.hpp"

namespace loopwatch {

// "save#17 held loop main for 312 ms: 250 ms in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush), 40 ms on CPU;
// 14 tasks waited up to 310 ms." Needs everything of the record but verdict, fingerprints and occurrence.
std::string verdict_of(const SlowCallback& slow);
// "save#17 has been holding loop main for [at least] 312 ms: …"
std::string verdict_of(const Stall& stall);
// "save#17 blocked loop main for 250 ms in fsync(7 → /var/lib/x.db) at store.cpp:42 (Store::flush)."
std::string verdict_of(const BlockingCall& blocking);

// "fsync(7 → /var/lib/x.db)", "getaddrinfo(db.internal)", "usleep(50 ms)", "futex(0x55d0c0a8e2a0)"; bare where no
// argument is known.
std::string call_text(const Source& source);

}  // namespace loopwatch
