// SPDX-License-Identifier: Apache-2.0
#include "collect/shim_ring.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <utility>

#include "collect/wire.hpp"

namespace loopwatch {

namespace {

constexpr std::uint64_t align = LW_RECORD_ALIGN;
constexpr std::uint64_t most_counted = 1ull << 48;  // in a lane: nine years at a million a second
constexpr std::uint32_t max_record = sizeof(lw_call) + LW_STACK_BYTES;

std::uint64_t lane_at(std::size_t index)
{
    return offsetof(lw_ring, lanes) + index * sizeof(lw_lane);
}

std::uint64_t body_at(std::size_t index)
{
    return offsetof(lw_ring, bodies) + index * sizeof(lw_lane_body);
}

}  // namespace

RingName ring_name(std::string_view path)
{
    if (path.ends_with("/" LW_RING_UNWATCHED)) return RingName::unwatched_child;
    if (path.ends_with("/" LW_RING_ELSEWHERE)) return RingName::child_elsewhere;
    return path.ends_with(LW_RING_DRAFT) ? RingName::draft : RingName::ring;
}

template <class T>
bool ShimRing::read(T& to, std::uint64_t offset) const
{
    return ::pread(file_.raw(), &to, sizeof to, static_cast<off_t>(offset)) == sizeof to;
}

Result<ShimRing> ShimRing::open(const std::string& path)
{
    Fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info = {};
    if (!file || ::fstat(file.raw(), &info) != 0) return errno_error(ExitCode::failed, path);
    if (!S_ISREG(info.st_mode)) return Error{ExitCode::failed, fmt::format("{} is no ring", path), ""};
    ShimRing ring(std::move(file), 0);
    struct {
        lw_u64 magic;
        lw_u32 abi, bytes, pid;
    } head = {};
    if (!ring.read(head, 0) || head.magic != LW_RING_MAGIC)
        return Error{ExitCode::failed, fmt::format("{} is no ring", path), ""};
    if (head.abi != LW_RING_ABI || head.bytes != sizeof(lw_ring))
        return Error{ExitCode::failed, fmt::format("{} is a ring of another version of the shim", path),
                     "use loopwatch and libloopwatch_preload.so of one build"};
    ring.pid_ = head.pid;
    char name[sizeof(lw_ring::name)] = {};
    if (ring.read(ring.image_, offsetof(lw_ring, image)) && ring.read(name, offsetof(lw_ring, name)))
        ring.name_.assign(name, ::strnlen(name, sizeof name));
    return ring;
}

std::vector<ShimLane> ShimRing::look()
{
    std::vector<ShimLane> taken;
    lanes_.resize(LW_LANES);
    const auto bytes = lanes_.size() * sizeof(lw_lane);
    if (::pread(file_.raw(), lanes_.data(), bytes, static_cast<off_t>(lane_at(0))) != static_cast<ssize_t>(bytes))
        return taken;
    for (std::size_t i = 0; i < lanes_.size(); ++i) {
        const auto& lane = lanes_[i];
        if (lane.tid != 0)
            taken.push_back({i, lane.tid, lane.registrations, lane.slot, lane.candidate != 0, lane.held});
    }
    return taken;
}

bool ShimRing::drain(std::size_t most, const std::function<void(const Event&)>& handle)
{
    for (std::size_t i = 0; i < lanes_.size(); ++i)
        if (!drain_lane(i, most, handle)) return false;
    return true;
}

void ShimRing::set_tail(std::size_t index, std::uint64_t tail)
{
    tails_[index] = tail;
    const auto at = lane_at(index) + offsetof(lw_lane, tail);
    (void)::pwrite(file_.raw(), &tail, sizeof tail, static_cast<off_t>(at));
}

// Hands over what stands between two positions, at most `most` records; where it stopped. None: it is not what it
// claims to be.
std::optional<std::uint64_t> ShimRing::walk(std::size_t index, std::uint64_t at, std::uint64_t end, std::size_t& most,
                                            const std::function<void(const Event&)>& handle)
{
    if (end - at > LW_LANE_BYTES || end % align != 0 || at % align != 0) return std::nullopt;
    while (at != end && most > 0) {
        const auto within = at % LW_LANE_BYTES, rest = LW_LANE_BYTES - within;
        const auto from = body_at(index) + offsetof(lw_lane_body, records) + within;
        lw_event event = {};
        if (rest < sizeof event) {  // too little room for a record: the writer went on at the lane's beginning
            if (rest > end - at) return std::nullopt;
            at += rest;
            continue;
        }
        if (!read(event, from)) return std::nullopt;
        const auto whole = (event.size + align - 1) & ~(align - 1);
        if (event.size < sizeof event || whole > std::min<std::uint64_t>(end - at, rest)) return std::nullopt;
        if (event.kind != 0) {
            if (event.size > max_record) return std::nullopt;
            record_.resize(event.size);
            if (::pread(file_.raw(), record_.data(), event.size, static_cast<off_t>(from)) !=
                    static_cast<ssize_t>(event.size) ||
                decode(record_, handle) == 0)
                ++corrupt_;
            --most;
        }
        at += whole;
    }
    return at;
}

// Up to what look() has seen.
bool ShimRing::drain_lane(std::size_t index, std::size_t& most, const std::function<void(const Event&)>& handle)
{
    const auto head = lanes_[index].head;
    if (head == tails_[index]) return true;
    const auto reached = walk(index, tails_[index], head, most, handle);
    if (!reached) {  // nothing more is to be had of it until it claims something else
        ++corrupt_;
        set_tail(index, head - head % align);
        return true;
    }
    set_tail(index, *reached);
    return *reached == head;
}

void ShimRing::read_draft(std::size_t index, const std::function<void(const Event&)>& handle)
{
    if (index >= lanes_.size()) return;
    std::size_t most = 64;
    if (!walk(index, lanes_[index].head, lanes_[index].draft, most, handle)) ++corrupt_;
}

void ShimRing::let_idle(std::size_t lane, std::uint64_t ip, std::uint64_t frame)
{
    const auto place = lw_place_key(ip, frame);
    const auto at = lane_at(lane) + offsetof(lw_lane, idle);
    lw_u64 idle[LW_IDLE] = {};
    if (!read(idle, at)) return;
    auto* const free = std::ranges::find_if(idle, [&](lw_u64 known) { return known == 0 || known == place; });
    // With no room left the first gives way: asked about again, nothing worse.
    *(free == std::end(idle) ? std::begin(idle) : free) = place;
    (void)::pwrite(file_.raw(), idle, sizeof idle, static_cast<off_t>(at));
}

std::optional<LoopState> ShimRing::read_own_slot(std::size_t lane) const
{
    constexpr int torn_retries = 4;
    const auto at = body_at(lane) + offsetof(lw_lane_body, own);
    lw_loop_slot slot = {};
    for (int attempt = 0; attempt < torn_retries; ++attempt) {
        lw_u64 seq = 0;
        if (!read(slot, at) || !read(seq, at)) return std::nullopt;
        if (seq == slot.seq) break;
    }
    return loop_state(slot);
}

std::optional<LoopState> ShimRing::read_slot_at_exit(std::size_t lane) const
{
    lw_u64 copied = 0;
    if (!read(copied, offsetof(lw_ring, slots_copied)) || (copied >> lane & 1) == 0) return std::nullopt;
    return read_own_slot(lane);
}

std::optional<OngoingCall> ShimRing::ongoing(std::size_t lane, std::uint64_t seq) const
{
    const auto at = body_at(lane) + offsetof(lw_lane_body, ongoing);
    lw_ongoing call = {};
    lw_u64 after = 0;
    if (!read(call, at) || !read(after, at) || call.seq != seq || after != seq) return std::nullopt;
    return OngoingCall{call.start_ns, call.caller, bounded_text(call.call), registers_of(call.registers)};
}

ShimRing::Counts& ShimRing::Counts::operator+=(const Counts& more)
{
    lost += more.lost;
    stacks_left_out += more.stacks_left_out;
    lanes_refused += more.lanes_refused;
    corrupt += more.corrupt;
    calls += more.calls;
    loops += more.loops;
    return *this;
}

bool ShimRing::bypassed() const
{
    lw_u32 canary = LW_CANARY_NOT_YET;
    return read(canary, offsetof(lw_ring, canary)) && canary == LW_CANARY_UNSEEN;
}

bool ShimRing::sandboxed() const
{
    lw_u32 sandboxed = 0;
    return read(sandboxed, offsetof(lw_ring, sandboxed)) && sandboxed != 0;
}

ShimRing::Counts ShimRing::counts() const
{
    Counts sum;
    sum.corrupt = corrupt_;
    for (const auto& lane : lanes_) {
        if (std::max({lane.lost, lane.stacks_left_out, lane.calls}) > most_counted) {
            ++sum.corrupt;
            continue;
        }
        sum.lost += lane.lost;
        sum.stacks_left_out += lane.stacks_left_out;
        sum.calls += lane.calls;
        sum.loops += lane.registrations;
    }
    lw_u32 refused = 0;
    if (read(refused, offsetof(lw_ring, lanes_refused))) sum.lanes_refused = refused;
    return sum;
}

}  // namespace loopwatch
