// SPDX-License-Identifier: Apache-2.0
//
// rt_stress [--seed N] [--operations N] [--loops N] [--debug]
//
// Every primitive of the runtime, nested at random, on 1 to 4 loops (0: as the seed has it), with cancellations from
// the loop's own thread and from others. It holds the runtime to its promises: nothing of a task lives when its join
// returns; a cancellation is delivered once; one task in a mutex; no message lost or doubled; each exception is caught
// or reported. A primitive is one function of the table `operations` below. Exit status: 0 all held · 1 something did
// not · 2 usage.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include <asio/steady_timer.hpp>
#include <asio/thread_pool.hpp>

#include <loopwatch/rt.hpp>

using namespace loopwatch;
using namespace std::chrono_literals;

namespace {

// What all loops count together.
struct Score {
    std::atomic<long> left{0};     // operations to begin
    std::atomic<long> alive{0};    // parameters of tasks
    std::atomic<long> drivers{0};  // not ended
    std::atomic<long> thrown{0}, caught{0}, reported{0};
    std::atomic<long> cancelled{0}, timed_out{0}, messages{0}, broken{0};
};
Score score;

void must(bool holds, const char* promise)
{
    if (holds) return;
    ++score.broken;
    std::printf("does not hold: %s\n", promise);
}

struct Failure : std::runtime_error {
    Failure() : std::runtime_error("a task of the stress fails") { ++score.thrown; }
};

// How many failures of the stress are in it.
long failures_in(const std::exception_ptr& thrown)
{
    try {
        std::rethrow_exception(thrown);
    } catch (const ExceptionGroup& group) {
        long failures = 0;
        for (const auto& one : group.exceptions()) failures += failures_in(one);
        return failures;
    } catch (...) {
        return 1;
    }
}

// splitmix64: 8 bytes, so that each coroutine has its own.
class Random {
public:
    explicit Random(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t next() noexcept
    {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        return z ^ (z >> 31);
    }
    unsigned below(unsigned limit) noexcept { return static_cast<unsigned>(next() % limit); }
    bool one_in(unsigned n) noexcept { return below(n) == 0; }
    std::chrono::microseconds moment() noexcept { return std::chrono::microseconds(below(200)); }

private:
    std::uint64_t state_;
};

// A loop, and what its tasks share.
struct World {
    explicit World(unsigned number) : loop("stress" + std::to_string(number)) {}
    Loop loop;
    Mutex mutex;
    Event event;
    Semaphore seats{2};
    int inside = 0, seated = 0;  // of the mutex, of the semaphore
};
std::vector<std::unique_ptr<World>> worlds;
asio::thread_pool* pool = nullptr;

// A parameter of a task, counted while it lives. `own`: those of one join.
using Count = std::shared_ptr<std::atomic<int>>;
class Parameter {
public:
    explicit Parameter(Count own) : own_(std::move(own)), bytes_(std::make_unique<char[]>(16)) { count(1); }
    Parameter(Parameter&& other) noexcept : own_(std::move(other.own_)), bytes_(std::move(other.bytes_)) {}
    Parameter& operator=(Parameter&&) = delete;
    ~Parameter()
    {
        if (own_ != nullptr) count(-1);
    }

private:
    void count(int by) noexcept
    {
        *own_ += by;
        score.alive += by;
    }
    Count own_;
    std::unique_ptr<char[]> bytes_;  // on the heap: AddressSanitizer sees who comes late
};

// What an operation is given: where it runs, its own random numbers, how much deeper it may go.
struct Turn {
    World* world;
    Random random;
    unsigned depth;
    Turn child() { return {world, Random(random.next()), depth - 1}; }
    Turn child_on(World& other) { return {&other, Random(random.next()), depth - 1}; }
};

Task<> step(Turn turn);

// What is spawned: some steps, then a value; or a failure.
Task<int> work(Turn turn, Parameter)
{
    for (unsigned steps = 1 + turn.random.below(3); steps-- > 0 && score.left > 0;) {
        co_await step(Turn{turn.world, Random(turn.random.next()), turn.depth});
        must(Loop::current() == &turn.world->loop, "a task stays on its loop");
    }
    if (turn.random.one_in(16)) throw Failure();
    co_return 7;
}

Task<> quiet(Turn turn, Parameter parameter)
{
    const int value = co_await work(turn, std::move(parameter));
    must(value == 7, "a result arrives");
}

Count new_count()
{
    return std::make_shared<std::atomic<int>>(0);
}

void must_be_gone(const Count& count)
{
    must(*count == 0, "when a join returns, nothing of the task lives");
}

// At the end of a block in which a join returns, or throws.
struct Gone {
    const Count& count;
    ~Gone() { must_be_gone(count); }
};

// --- leaves ---

Task<> do_yield(Turn)
{
    co_await yield();
}

Task<> do_sleep(Turn turn)
{
    co_await sleep_for(turn.random.moment());
}

Task<> do_lock(Turn turn)
{
    World& world = *turn.world;
    MutexLock lock = co_await world.mutex.lock();
    must(++world.inside == 1, "one task at a time is in a mutex");
    struct Leave {
        int& inside;
        ~Leave() { --inside; }
    } leave{world.inside};
    const MutexLock moved = std::move(lock);
    if (turn.random.one_in(2)) co_await yield();
}

Task<> do_event(Turn turn)
{
    Event& event = turn.world->event;
    if (turn.random.one_in(2)) {
        event.set();
        if (turn.random.one_in(2)) event.clear();
    } else {
        co_await with_timeout(turn.random.moment(), [](Event& waited) -> Task<> { co_await waited.wait(); }(event));
    }
}

Task<> do_executor(Turn turn)
{
    const unsigned number = turn.random.below(1000);
    const unsigned given = co_await run_in_executor(*pool, [number] { return number + 1; });
    must(given == number + 1, "what a pool returned arrives");
}

Task<> do_use_task(Turn turn)
{
    asio::steady_timer timer(turn.world->loop.context(), turn.random.moment());
    if (turn.random.one_in(2))
        co_await timer.async_wait(use_task);
    else
        static_cast<void>(co_await timer.async_wait(use_task_nothrow));
}

Task<> do_post(Turn turn)
{
    turn.world->loop.post([] {});
    label("step", "posted");
    co_await asio::post(turn.world->loop.context(), use_task);
}

Task<> do_semaphore(Turn turn)
{
    World& world = *turn.world;
    Permit permit = co_await world.seats.acquire();
    must(++world.seated <= 2, "no more tasks than permits hold one");
    struct Leave {
        int& seated;
        ~Leave() { --seated; }
    } leave{world.seated};
    const Permit moved = std::move(permit);
    if (turn.random.one_in(2)) co_await yield();
}

Task<> do_to_end(Turn turn)
{
    const auto number = std::make_unique<unsigned>(turn.random.below(1000));  // freed with this coroutine
    const unsigned given = co_await run_in_executor_to_end(*pool, [&number] { return *number + 1; });
    must(given == *number + 1, "what a pool returned arrives");
}

// --- what has children ---

Task<> do_join(Turn turn)
{
    const Count count = new_count();
    const auto handle = spawn(turn.world->loop, work(turn.child(), Parameter(count)), "joined");
    if (turn.random.one_in(4)) handle.cancel("at once");
    try {
        const int value = co_await handle;
        must(value == 7, "a result arrives");
    } catch (const Cancelled&) {
        if (handle.done()) must_be_gone(count);  // else it was this task's own
        throw;
    } catch (...) {
        must_be_gone(count);
        throw;
    }
    must_be_gone(count);
}

Task<> do_detach(Turn turn)
{
    spawn(turn.world->loop, work(turn.child(), Parameter(new_count())), "detached").detach();
    co_return;
}

Task<> do_timeout(Turn turn)
{
    const Count count = new_count();
    const Gone gone{count};
    const auto limit = turn.random.one_in(8) ? std::chrono::nanoseconds::max() : turn.random.moment();
    const int value = co_await with_timeout(limit, work(turn.child(), Parameter(count)));
    must(value == 7, "a result arrives");
}

Task<> do_gather(Turn turn)
{
    const Count count = new_count();
    const Gone gone{count};
    const auto [one, two] = co_await gather(work(turn.child(), Parameter(count)), work(turn.child(), Parameter(count)));
    must(one == 7 && two == 7, "both results arrive");
}

Task<> do_group(Turn turn)
{
    const Count count = new_count();
    TaskGroup group(turn.world->loop);
    for (unsigned children = turn.random.below(4); children-- > 0;)
        group.spawn(quiet(turn.child(), Parameter(count)), "child");
    if (turn.random.one_in(5)) group.cancel("a whim");
    if (turn.random.one_in(8)) co_return;  // its end cancels them, and nobody waits
    const Gone gone{count};
    co_await group.join();
}

Task<> do_on_loop(Turn turn)
{
    World& other = *worlds[turn.random.below(static_cast<unsigned>(worlds.size()))];
    const Count count = new_count();
    const Gone gone{count};
    const int value = co_await on_loop(other.loop, work(turn.child_on(other), Parameter(count)));
    must(value == 7, "a result arrives from another loop");
}

// --- directed: exact counts ---

// Waits until it is cancelled, and counts how often that was delivered.
Task<> victim(Turn turn, std::shared_ptr<int> delivered, Parameter)
{
    try {
        while (true) {
            try {
                switch (turn.random.below(5)) {
                    case 0: co_await yield(); break;
                    case 1: co_await sleep_for(turn.random.moment()); break;
                    case 2: co_await do_event(Turn{turn.world, Random(turn.random.next()), 0}); break;
                    case 3: co_await do_lock(Turn{turn.world, Random(turn.random.next()), 0}); break;
                    default: co_await with_timeout(turn.random.moment(), do_sleep(turn)); break;
                }
            } catch (const TimedOut&) {
            }
        }
    } catch (const Cancelled&) {
        ++*delivered;
    }
    for (int more = 0; more < 3; ++more) {
        try {
            co_await yield();
            co_await sleep_for(0ns);
        } catch (const Cancelled&) {
            ++*delivered;
        }
    }
}

Task<> do_cancel_once(Turn turn)
{
    const Count count = new_count();
    const auto delivered = std::make_shared<int>(0);
    auto handle = spawn(turn.world->loop, victim(turn.child(), delivered, Parameter(count)), "victim");
    // Whatever ends this task: its victim ends.
    struct Cancel {
        JoinHandle<void>& handle;
        bool asked = false;
        void now()
        {
            if (!std::exchange(asked, true)) handle.cancel("once");
        }
        ~Cancel() { now(); }
    } cancel{handle};
    co_await do_sleep(Turn{turn.world, Random(turn.random.next()), 0});
    if (turn.random.one_in(3)) {  // from a foreign thread
        co_await run_in_executor(*pool, [] {});
    }
    cancel.now();
    co_await handle;
    must_be_gone(count);
    must(*delivered == 1, "a cancellation is delivered exactly once");
}

// Messages that know their number.
struct Post {
    explicit Post(std::size_t capacity) : channel(capacity) {}
    Channel<int> channel;
    std::vector<char> sent = std::vector<char>(64), received = std::vector<char>(64);
};

Task<> sender(std::shared_ptr<Post> post, int first, int last)
{
    for (int number = first; number < last; ++number) {
        co_await post->channel.send(number);
        ++post->sent[static_cast<std::size_t>(number)];
        ++score.messages;
    }
}

Task<> receiver(std::shared_ptr<Post> post)
{
    while (const auto number = co_await post->channel.receive()) {
        ++post->received[static_cast<std::size_t>(*number)];
        if (*number % 5 == 0) co_await yield();
    }
}

Task<> do_channel(Turn turn)
{
    const auto post = std::make_shared<Post>(1 + turn.random.below(4));
    TaskGroup senders(turn.world->loop), receivers(turn.world->loop);
    senders.spawn(sender(post, 0, 16), "sender");
    senders.spawn(sender(post, 16, 32), "sender");
    receivers.spawn(receiver(post), "receiver");
    receivers.spawn(
        [](std::shared_ptr<Post> one, Random random) -> Task<> {
            try {
                co_await with_timeout(random.moment(), receiver(std::move(one)));
            } catch (const TimedOut&) {
            }
        }(post, Random(turn.random.next())),
        "impatient receiver");
    if (turn.random.one_in(4)) senders.cancel("enough");
    co_await senders.join();
    post->channel.close();
    co_await receivers.join();
    must(post->sent == post->received, "each message that was sent is received once");
}

Task<> do_when_any(Turn turn)
{
    const Count count = new_count();
    const Gone gone{count};
    const auto first = co_await when_any(work(turn.child(), Parameter(count)), work(turn.child(), Parameter(count)));
    must(std::visit([](int value) { return value; }, first) == 7, "the first result arrives");
}

Task<> do_shield(Turn turn)
{
    const int value = co_await shield(work(turn.child(), Parameter(new_count())));
    must(value == 7, "a result arrives");
}

Task<> do_stop_token(Turn turn)
{
    const Count count = new_count();
    const Gone gone{count};
    std::stop_source source;
    if (turn.random.one_in(2)) asio::post(*pool, [source]() mutable { source.request_stop(); });
    const int value = co_await with_stop_token(source.get_token(), work(turn.child(), Parameter(count)));
    must(value == 7, "a result arrives");
}

AsyncGenerator<int> count_to_four(Turn turn, Parameter)
{
    for (int number = 0; number < 4; ++number) {
        co_await step(turn.child());
        co_yield number;
    }
}

Task<> do_generator(Turn turn)
{
    const Count count = new_count();
    const Gone gone{count};
    auto numbers = count_to_four(turn.child(), Parameter(count));
    for (int expected = 0; !turn.random.one_in(8); ++expected) {
        const auto number = co_await numbers.next();
        must(number ? *number == expected : expected == 4, "a generator yields all, in order");
        if (!number) co_return;
    }
}

struct Traffic {
    explicit Traffic(std::size_t capacity) : channel(capacity) {}
    SharedChannel<int> channel;
    std::atomic<int> sent{0}, received{0};
    std::atomic<bool> all_received{false};
};

Task<> send_there(std::shared_ptr<Traffic> traffic)
{
    struct Close {
        Traffic& traffic;
        ~Close() { traffic.channel.close(); }
    } close{*traffic};
    for (int number = 0; number < 16; ++number) {
        if (number % 4 != 0 || !traffic->channel.try_send(number)) co_await traffic->channel.send(number);
        ++traffic->sent;
    }
}

Task<> receive_there(std::shared_ptr<Traffic> traffic)
{
    while (const auto number = co_await traffic->channel.receive()) {
        must(*number >= 0 && *number < 16, "what was sent arrives");
        ++traffic->received;
        ++score.messages;
    }
    traffic->all_received = true;
}

Task<> do_shared_channel(Turn turn)
{
    const auto traffic = std::make_shared<Traffic>(turn.random.below(3));
    TaskGroup group(turn.world->loop);
    group.spawn(send_there(traffic), "sender");
    World& other = *worlds[turn.random.below(static_cast<unsigned>(worlds.size()))];
    group.spawn(
        [](Loop& there, std::shared_ptr<Traffic> shared) -> Task<> {
            co_await on_loop(there, receive_there(std::move(shared)));
        }(other.loop, traffic),
        "receiver");
    if (turn.random.one_in(8)) group.cancel("a whim");
    co_await group.join();
    must(!traffic->all_received || traffic->sent == traffic->received, "each message between loops is received once");
}

using Operation = Task<> (*)(Turn);
constexpr std::array leaves{do_yield,    do_sleep, do_lock,      do_event, do_executor,
                            do_use_task, do_post,  do_semaphore, do_to_end};
constexpr std::array operations{do_join,       do_detach,      do_timeout,       do_gather,   do_group,
                                do_on_loop,    do_cancel_once, do_channel,       do_when_any, do_shield,
                                do_stop_token, do_generator,   do_shared_channel};

// One operation. What it throws is caught here, but for Cancelled and some of the failures.
Task<> step(Turn turn)
{
    if (--score.left < 0) co_return;
    const bool deeper = turn.depth > 0 && turn.random.one_in(3);
    const Operation operation =
        deeper ? operations[turn.random.below(operations.size())] : leaves[turn.random.below(leaves.size())];
    try {
        co_await operation(Turn{turn.world, Random(turn.random.next()), turn.depth});
    } catch (const TimedOut&) {
        ++score.timed_out;
    } catch (const std::exception&) {  // a failure, or several
        if (turn.random.one_in(4)) throw;
        score.caught += failures_in(std::current_exception());
    } catch (const Cancelled&) {
        ++score.cancelled;
        throw;
    }
}

Task<> driver(Turn turn)
{
    while (score.left > 0) {
        try {
            co_await step(Turn{turn.world, Random(turn.random.next()), turn.depth});
        } catch (const std::exception&) {
            score.caught += failures_in(std::current_exception());
        } catch (const Cancelled&) {  // of what it gathered
        }
    }
    --score.drivers;
}

// Keeps a loop, and sets its event now and then, until no loop has anything left to do.
Task<> keeper(World& world)
{
    while (score.drivers > 0 || score.alive > 0) {
        world.event.set();
        world.event.clear();
        co_await sleep_for(500us);
    }
}

struct Options {
    std::uint64_t seed = 1;
    long operations = 20000;
    unsigned loops = 0;
    bool debug = false;
};

bool parse(int count, char** arguments, Options& options)
{
    for (int i = 1; i < count; ++i) {
        const bool has_value = i + 1 < count;
        if (std::strcmp(arguments[i], "--debug") == 0)
            options.debug = true;
        else if (std::strcmp(arguments[i], "--seed") == 0 && has_value)
            options.seed = std::strtoull(arguments[++i], nullptr, 10);
        else if (std::strcmp(arguments[i], "--operations") == 0 && has_value)
            options.operations = std::strtol(arguments[++i], nullptr, 10);
        else if (std::strcmp(arguments[i], "--loops") == 0 && has_value)
            options.loops = static_cast<unsigned>(std::strtoul(arguments[++i], nullptr, 10));
        else
            return false;
    }
    return options.operations > 0 && options.loops <= 4;
}

void drive(World& world, std::uint64_t seed)
{
    Random random(seed);
    spawn(world.loop, keeper(world), "keeper");
    for (int i = 0; i < 8; ++i) spawn(world.loop, driver(Turn{&world, Random(random.next()), 4}), "driver");
    world.loop.run();
}

// A run that hangs says so, and what it waits for.
void watch_progress(const std::atomic<bool>& over, std::uint64_t seed)
{
    long last = -1;
    for (int idle = 0; !over && idle < 200; ++idle) {
        std::this_thread::sleep_for(100ms);
        const long now = score.left;
        if (now > 0 && std::exchange(last, now) != now) idle = 0;
    }
    if (over) return;
    std::printf("does not hold: it ends. seed %llu, %ld operations left, %ld parameters alive, %ld drivers\n",
                static_cast<unsigned long long>(seed), score.left.load(), score.alive.load(), score.drivers.load());
    std::fflush(stdout);
    _exit(1);
}

}  // namespace

int main(int count, char** arguments)
{
    Options options;
    if (!parse(count, arguments, options)) {
        std::fprintf(stderr, "usage: rt_stress [--seed N] [--operations N] [--loops 0-4] [--debug]\n");
        return 2;
    }
    Random random(options.seed);
    const unsigned loops = options.loops != 0 ? options.loops : 1 + random.below(4);
    score.left = options.operations;
    score.drivers = 8L * loops;
    set_finding_handler([](const Finding&) {});
    set_exception_handler([](std::exception_ptr thrown, const Finding&) { score.reported += failures_in(thrown); });
    if (options.debug) set_debug(true);
    asio::thread_pool threads_of_pool(2);
    pool = &threads_of_pool;
    std::atomic<bool> over{false};
    std::thread watcher([&] { watch_progress(over, options.seed); });
    for (unsigned i = 0; i < loops; ++i) worlds.push_back(std::make_unique<World>(i));
    std::vector<std::thread> threads;
    for (auto& world : worlds) {
        const std::uint64_t seed = random.next();
        threads.emplace_back([&world, seed] { drive(*world, seed); });
    }
    for (std::thread& thread : threads) thread.join();
    threads_of_pool.join();
    for (const auto& world : worlds)
        must(world->loop.slot().tasks_created == world->loop.slot().tasks_finished, "each task that began has ended");
    worlds.clear();
    over = true;
    watcher.join();
    must(score.alive == 0, "no parameter is left");
    must(score.thrown == score.caught + score.reported, "each exception is caught or reported");
    std::printf(
        "seed %llu, %u loops, %ld operations: %ld cancelled, %ld timed out, %ld messages, %ld exceptions of which "
        "%ld were caught and %ld reported, %ld promises broken\n",
        static_cast<unsigned long long>(options.seed), loops, options.operations, score.cancelled.load(),
        score.timed_out.load(), score.messages.load(), score.thrown.load(), score.caught.load(), score.reported.load(),
        score.broken.load());
    return score.broken == 0 ? 0 : 1;
}
