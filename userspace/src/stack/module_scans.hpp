// SPDX-License-Identifier: Apache-2.0
//
// ModuleScans: what the worker has answered of files, checked, and kept for the other processes that map them.
#pragma once

#include "stack/symbol_worker.hpp"
#include "stack/target_files.hpp"
#include "util/recent_cache.hpp"

namespace loopwatch {

using ScanKey = std::pair<FileKey, bool>;  // with coroutines?

// Does it lead to places in the file?
bool makes_claims(const ModuleScan& scan);
// Without those that are not what they should be: the worker has parsed a file that may be crafted. Reads the file,
// whose server may not answer.
Result<ModuleScan> check_claims(int elf, ModuleScan scan);

class ModuleScans {
public:
    // Valid until the next call but find(); nullptr: not kept.
    const Result<ModuleScan>* find(const ScanKey& key) { return scans_.find(key); }
    void keep(const ScanKey& key, Result<ModuleScan> scan);
    void drop(const ScanKey& key) { scans_.drop(key); }

private:
    static constexpr std::size_t max_bytes = 8u << 20;  // 0.2 KiB a file without probes

    RecentCache<ScanKey, Result<ModuleScan>> scans_{max_bytes};
};

}  // namespace loopwatch
