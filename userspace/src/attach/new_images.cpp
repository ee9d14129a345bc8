// SPDX-License-Identifier: Apache-2.0
#include "attach/new_images.hpp"

#include <algorithm>
#include <utility>

#include "util/beside.hpp"
#include "util/detached.hpp"

namespace loopwatch {

void NewImages::begun(pid_t pid, std::uint64_t now_ns)
{
    auto& image = images_[pid];
    Image anew;
    anew.waits = std::move(image.waits);
    anew.opening = std::move(image.opening);
    anew.is_superseded = anew.opening.valid();
    image = std::move(anew);
    image.due_ns = now_ns + look_ns;
    image.until_ns = now_ns + most_ns;
}

void NewImages::found(pid_t pid, std::uint64_t now_ns)
{
    auto& image = images_[pid];
    image.stage = Stage::opening;
    image.has_begun = false;
    image.due_ns = now_ns;
    image.until_ns = now_ns + most_opening_ns;
}

void NewImages::on(const WaitEvent& event)
{
    const auto image = images_.find(static_cast<pid_t>(event.head.pid));
    if (image != images_.end() && image->second.waits.size() < most_waits) image->second.waits.push_back(event);
}

bool NewImages::are_coming(std::uint64_t now_ns) const
{
    return std::ranges::any_of(images_, [&](const auto& entry) {
        const auto& image = entry.second;
        return image.stage != Stage::opening || now_ns + most_opening_ns < image.until_ns + soon_opened_ns;
    });
}

std::uint64_t NewImages::next_ns() const
{
    std::uint64_t next_ns = 0;
    for (const auto& [pid, image] : images_)
        if (image.due_ns) next_ns = next_ns ? std::min(next_ns, image.due_ns) : image.due_ns;
    return next_ns;
}

// True: on to the next stage.
bool NewImages::load(pid_t pid, Image& image, std::uint64_t now_ns)
{
    if (now_ns >= image.until_ns) return true;
    image.due_ns = now_ns + look_beside_ns;
    if (!image.looking.valid() && may_detach_another()) image.looking = read_hash_beside(pid);
    if (!image.looking.valid() || !is_ready(image.looking)) return false;
    const auto hash = image.looking.get();
    image.due_ns = now_ns + look_ns;
    return hash == std::exchange(image.hash, hash) || hash == 0;
}

bool NewImages::open(pid_t pid, Image& image, std::uint64_t now_ns)
{
    // A file system that does not answer is looked at less and less often.
    const auto age_ns = now_ns + most_opening_ns - image.until_ns;
    image.due_ns = now_ns + std::clamp(age_ns / 4, look_beside_ns, soon_opened_ns);
    if (image.is_superseded && is_ready(image.opening)) {
        image.opening = {};
        image.is_superseded = false;
    }
    if (!image.opening.valid() && may_detach_another()) {
        image.opening = open_process_beside(pid);
        image.until_ns = now_ns + most_opening_ns;
    }
    if (image.opening.valid() && !image.is_superseded && is_ready(image.opening))
        image.opened = image.opening.get();
    else if (now_ns >= image.until_ns)
        image.opened = not_opened(pid, image.opening.valid(), most_opening_ns);
    return image.opened.has_value();
}

// True: all are scanned, or will not be. What gave way to others is asked for again.
bool NewImages::scan(Image& image, SymbolWorker& worker, ScanOptions options)
{
    if (image.rounds != 0 && !worker.answered(image.asked)) return false;
    bool is_asked = false;
    if (*image.opened && image.rounds < max_rounds)
        for (const auto& module : (*image.opened)->files.modules) {
            if (image.rounds != 0 && worker.scanned(module.file.raw(), options)) continue;
            worker.scan_ahead(module.file.raw(), options, [](const std::vector<Frame>&) {});
            is_asked = true;
        }
    ++image.rounds;
    image.asked = worker.asked();
    return !is_asked;
}

std::vector<NewImages::Ready> NewImages::take_ready(std::uint64_t now_ns, SymbolWorker& worker, ScanOptions options,
                                                    const std::function<bool(pid_t)>& may_come)
{
    std::vector<Ready> ready;
    for (auto& [pid, image] : images_) {
        if (now_ns < image.due_ns) continue;
        if (image.stage == Stage::loading) {
            image.due_ns = now_ns + look_ns;
            if (!may_come(pid) || !load(pid, image, now_ns)) continue;
            image.stage = Stage::opening;
            image.until_ns = now_ns + most_opening_ns;
        }
        if (image.stage == Stage::opening) {
            if (!open(pid, image, now_ns)) continue;
            image.stage = Stage::scanning;
            image.due_ns = 0;  // the answer wakes us
        }
        if (scan(image, worker, options))
            ready.push_back({pid, std::move(*image.opened), std::move(image.waits), image.has_begun});
    }
    for (const auto& image : ready) images_.erase(image.pid);
    return ready;
}

}  // namespace loopwatch
