// SPDX-License-Identifier: Apache-2.0
//
// What is awaited before a process is attached to, on this very process, with a worker of the script's.
#include <sys/auxv.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <set>
#include <thread>

#include "../fuzz/late_worker.hpp"
#include "attach/new_images.hpp"
#include "util/wall_clock.hpp"

using loopwatch::monotonic_ns;
using loopwatch::NewImages;

namespace {

// Of what it has read first as much gives way to others as the script wants.
class ForgetfulWorker final : public LateWorker {
public:
    explicit ForgetfulWorker(int forgets) : LateWorker(false), forgets_(forgets) {}

    void scan_ahead(int elf, loopwatch::ScanOptions options, Done done) override
    {
        ++asked_for_;
        if (forgets_ > 0)
            --forgets_;
        else
            kept_.insert(elf);
        LateWorker::scan_ahead(elf, options, std::move(done));
    }
    const loopwatch::Result<loopwatch::ModuleScan>* scanned(int elf, loopwatch::ScanOptions options) override
    {
        return kept_.contains(elf) ? LateWorker::scanned(elf, options) : nullptr;
    }
    int asked_for() const { return asked_for_; }

private:
    int forgets_, asked_for_ = 0;
    std::set<int> kept_;
};

struct Arrival {
    std::size_t modules = 0;
    int asked_for = 0;
};

Arrival arrival(bool has_begun, int forgets)
{
    ForgetfulWorker worker(forgets);
    NewImages images;
    const auto now = monotonic_ns();
    has_begun ? images.begun(::getpid(), now) : images.found(::getpid(), now);
    const auto until = now + 5'000'000'000;
    while (monotonic_ns() < until) {
        auto ready = images.take_ready(monotonic_ns(), worker, {}, [](pid_t) { return true; });
        if (ready.empty()) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        CHECK(images.empty());
        REQUIRE(ready.size() == 1);
        REQUIRE(ready[0].process);
        return {ready[0].process->files.modules.size(), worker.asked_for()};
    }
    FAIL("it has not come within 5 s");
    return {};
}

}  // namespace

TEST_CASE("a process comes once each of its files has been scanned, one that has just begun too")
{
    for (const bool has_begun : {false, true}) {
        const auto [modules, asked_for] = arrival(has_begun, 0);
        CHECK(modules > 3);
        CHECK(asked_for == static_cast<int>(modules));
    }
}

TEST_CASE("a scan that gave way to others is asked for again, and not for ever")
{
    const auto [modules, asked_for] = arrival(false, 2);
    CHECK(asked_for == static_cast<int>(modules) + 2);
    CHECK(arrival(false, 1 << 20).asked_for == 3 * static_cast<int>(modules));
}

TEST_CASE("where its files are linked to is known once they are open")
{
    const auto opened = loopwatch::open_process(::getpid());
    REQUIRE(opened);
    int with_file = 0;
    for (const auto& module : opened->files.modules) {
        with_file += static_cast<bool>(module.file);
        CHECK(module.link_start.has_value() == static_cast<bool>(module.file));
    }
    CHECK(with_file > 2);
}

TEST_CASE("files that were read of a process say whether they are of the image that was asked for")
{
    const auto own = ::getauxval(AT_RANDOM);
    for (const auto& [image, is_own] : {std::pair(0ul, true), {own, true}, {own + 16, false}}) {
        const auto opened = loopwatch::open_process(::getpid(), image);
        REQUIRE(opened);
        CHECK(opened->files.of_image == is_own);
    }
}
