// SPDX-License-Identifier: Apache-2.0
//
// ModuleScans: what the worker has answered of files, kept for the other processes that map them, and checked before it
// is used.
#pragma once

#include "stack/symbol_worker.hpp"
#include "stack/target_files.hpp"
#include "util/recent_cache.hpp"

namespace loopwatch {

using ScanKey = std::pair<FileKey, bool>;  // with coroutines?

class ModuleScans {
public:
    // Valid until the next keep(); nullptr: not kept.
    const Result<ModuleScan>* find(const ScanKey& key) { return scans_.find(key); }
    void keep(const ScanKey& key, Result<ModuleScan> scan);
    // What is kept of it, with what it claims checked against the file. A failure is dropped: who asks again may have
    // more luck.
    Result<ModuleScan> take(const ScanKey& key, int elf);

private:
    static constexpr std::size_t max_bytes = 8u << 20;  // 0.2 KiB a file without probes

    RecentCache<ScanKey, Result<ModuleScan>> scans_{max_bytes};
};

}  // namespace loopwatch
