// SPDX-License-Identifier: Apache-2.0
//
// What the environment asks of the shim when it is loaded, and whether it can do it here.
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/mman.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "caller_memory.hpp"
#include "raw_syscall.hpp"
#include "real_symbols.hpp"
#include "ring.hpp"
#include "sandbox.hpp"
#include "shim_state.hpp"
#include "standalone.hpp"
#include "text.hpp"

namespace loopwatch::preload {
namespace {

constexpr unsigned max_images = 100;  // of one process, one after the other by exec
constexpr std::size_t max_path = 256;

constinit void* place = nullptr;  // of the ring; a child makes its own in the same

// A number and the colon behind it; false: there is none.
bool take_number(const char*& text, std::uint64_t& value)
{
    value = 0;
    const char* const begin = text;
    while (*text >= '0' && *text <= '9') value = value * 10 + static_cast<std::uint64_t>(*text++ - '0');
    return text != begin && *text++ == ':';
}

// DIRECTORY/PID.IMAGE, and the suffix.
bool ring_path(char (&path)[max_path], const char* directory, std::uint64_t pid, unsigned image, const char* suffix)
{
    const std::size_t length = std::strlen(directory);
    if (length == 0 || length + 32 > max_path) return false;
    std::memcpy(path, directory, length);
    char* at = path + length;
    *at++ = '/';
    char digits[20];
    unsigned count = 0;
    do digits[count++] = static_cast<char>('0' + pid % 10);
    while ((pid /= 10) != 0);
    while (count != 0) *at++ = digits[--count];
    *at++ = '.';
    if (image >= 10) *at++ = static_cast<char>('0' + image / 10);
    *at++ = static_cast<char>('0' + image % 10);
    std::strcpy(at, suffix);
    return true;
}

// `flags` beside these; at `place`, which is the ring that a child has left, if there is one.
lw_ring* map_ring(int flags, std::uint64_t file)
{
    const int fixed = place != nullptr ? MAP_FIXED : 0;
    const long address = own_syscall(SYS_mmap, word(place), sizeof(lw_ring), PROT_READ | PROT_WRITE,
                                     static_cast<std::uint64_t>(flags | fixed), file, 0);
    if (address < 0 && address >= -4095) return nullptr;
    place = reinterpret_cast<void*>(address);
    return static_cast<lw_ring*>(place);
}

// By the time that the collector looks, the process may have executed another program.
void name_image(lw_ring& made)
{
    made.image = getauxval(AT_RANDOM);
    const auto* name = reinterpret_cast<const char*>(getauxval(AT_EXECFN));
    if (name == nullptr) return;
    for (const char* at = name; *at != '\0'; ++at)
        if (*at == '/') name = at + 1;
    for (std::size_t i = 0; i + 1 < sizeof made.name && name[i] != '\0'; ++i) made.name[i] = name[i];
}

// Maps a new file of this name, ready to be read.
lw_ring* map_new(const char* path, std::uint64_t pid)
{
    const long fd = own_syscall(SYS_open, word(path), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return nullptr;
    const auto file = static_cast<std::uint64_t>(fd);
    lw_ring* const made = own_syscall(SYS_ftruncate, file, sizeof(lw_ring)) == 0 ? map_ring(MAP_SHARED, file) : nullptr;
    own_syscall(SYS_close, file);
    if (made == nullptr) return nullptr;
    if (!populate(made, offsetof(lw_ring, bodies))) return nullptr;
    made->abi = LW_RING_ABI;
    made->bytes = sizeof(lw_ring);
    made->pid = static_cast<lw_u32>(pid);
    name_image(*made);
    __atomic_store_n(&made->magic, LW_RING_MAGIC, __ATOMIC_RELEASE);
    return made;
}

// The collector sees the file when it has its name, so it gets that last.
lw_ring* make_ring(const char* directory, std::uint64_t pid)
{
    char draft[max_path], name[max_path];
    if (!ring_path(draft, directory, pid, 0, LW_RING_DRAFT)) return nullptr;
    lw_ring* const made = map_new(draft, pid);
    long linked = made != nullptr ? -EEXIST : 0;
    for (unsigned image = 0; linked == -EEXIST && image < max_images; ++image)
        if (ring_path(name, directory, pid, image, "")) linked = own_syscall(SYS_link, word(draft), word(name));
    own_syscall(SYS_unlink, word(draft));
    return linked == 0 ? made : nullptr;
}

// For a process that tells of itself: nobody reads it.
lw_ring* make_private_ring()
{
    lw_ring* const made = map_ring(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, ~std::uint64_t{0});
    if (made == nullptr) return nullptr;
    ring_owner = own_syscall(SYS_getpid);
    made->pid = static_cast<lw_u32>(ring_owner);
    return made;
}

// The session ends and removes it, while our environment goes on to name it: anybody may make it anew then, with a link
// in it.
bool is_own_directory(const char* path)
{
    const long fd = own_syscall(SYS_open, word(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat info = {};
    const long known = own_syscall(SYS_fstat, static_cast<std::uint64_t>(fd), word(&info));
    own_syscall(SYS_close, static_cast<std::uint64_t>(fd));
    return known == 0 && info.st_uid == static_cast<uid_t>(own_syscall(SYS_geteuid)) && (info.st_mode & 0077) == 0;
}

// So that the collector can say that it does not see all.
void leave_mark(const char* directory, const char* mark)
{
    constexpr std::size_t most_of_mark = 16;
    char path[256] = {};
    Text text(path);
    text.add(directory, sizeof path - 1 - most_of_mark);
    text.add(mark, most_of_mark);
    const long file =
        own_syscall(SYS_open, word(path), O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_WRONLY | O_CLOEXEC, 0600);
    if (file >= 0) own_syscall(SYS_close, static_cast<std::uint64_t>(file));
}

// The inode of this process's PID namespace; 0: not known, as /proc is not mounted.
std::uint64_t pid_namespace()
{
    const long fd = own_syscall(SYS_open, word("/proc/self/ns/pid"), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    struct stat info = {};
    const long known = own_syscall(SYS_fstat, static_cast<std::uint64_t>(fd), word(&info));
    own_syscall(SYS_close, static_cast<std::uint64_t>(fd));
    return known == 0 ? info.st_ino : 0;
}

// LOOPWATCH_RUN, if it is for this process.
bool join_run()
{
    const char* wish = std::getenv(LW_RUN_VARIABLE);
    std::uint64_t pid = 0, threshold = 0, block_threshold = 0, namespace_of_pids = 0;
    if (wish == nullptr || !take_number(wish, pid) || !take_number(wish, threshold) ||
        !take_number(wish, block_threshold) || !take_number(wish, namespace_of_pids) || !is_own_directory(wish))
        return false;
    const auto own = static_cast<std::uint64_t>(own_syscall(SYS_getpid));
    if (pid != 0 && pid != own) {
        leave_mark(wish, "/" LW_RING_UNWATCHED);
        return false;
    }
    // Its ring would name it by a number that is another process's.
    if (pid == 0 && namespace_of_pids != 0 && pid_namespace() != namespace_of_pids) {
        leave_mark(wish, "/" LW_RING_ELSEWHERE);
        return false;
    }
    threshold_ns = threshold;
    block_threshold_ns = block_threshold;
    ring_owner = static_cast<long>(own);
    ring = make_ring(wish, own);
    return true;
}

// So that a child knows that it is one.
void mark_process()
{
    if (made_here == nullptr) {
        const long page = own_syscall(SYS_mmap, 0, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                      ~std::uint64_t{0}, 0);
        if (page < 0 && page >= -4095) return;
        if (own_syscall(SYS_madvise, static_cast<std::uint64_t>(page), page_bytes, MADV_WIPEONFORK) != 0) {
            own_syscall(SYS_munmap, static_cast<std::uint64_t>(page), page_bytes);
            return;
        }
        made_here = reinterpret_cast<unsigned char*>(page);
    }
    *made_here = 1;
}

// A call that blocks, made as the program would make it. True: it was seen, so the program's will be. In a candidate's
// lane, which the collector takes for no loop's.
bool canary_is_seen()
{
    const auto nap = reinterpret_cast<int (*)(const timespec*, timespec*)>(dlsym(RTLD_DEFAULT, "nanosleep"));
    lw_loop_slot slot = {};
    slot.seq = 1;
    if (nap == nullptr || !claim_lane(&slot, true)) return false;
    thread.slot = &slot;
    const std::uint64_t calls = thread.lane->calls;
    constexpr timespec moment = {0, 1000};
    nap(&moment, nullptr);
    const bool seen = thread.lane->calls != calls;
    thread.slot = nullptr;
    release_lane();
    return seen;
}

// LOOPWATCH_HOLD, if it is for this process. The number may be another file's by now: of a program that this one has
// become, or after the program before it has closed it. So it is used only if it is the very socket.
void wait_until_watched()
{
    const char* hold = std::getenv(LW_HOLD_VARIABLE);
    std::uint64_t pid = 0, fd = 0, inode = 0;
    if (hold == nullptr || !take_number(hold, pid) || !take_number(hold, fd) || !take_number(hold, inode)) return;
    if (pid != static_cast<std::uint64_t>(own_syscall(SYS_getpid))) return;
    struct stat info = {};
    if (own_syscall(SYS_fstat, fd, word(&info)) != 0 || !S_ISSOCK(info.st_mode) || info.st_ino != inode) return;
    char byte = 0;
    if (own_syscall(SYS_sendto, fd, word(&byte), 1, MSG_NOSIGNAL) == 1)
        while (own_syscall(SYS_read, fd, word(&byte), 1) == -EINTR) {
        }
    own_syscall(SYS_close, fd);
}

[[gnu::constructor]] void arm()
{
    if (const unsigned filters = meet_filters(); filters != 0) {
        if (asks_for_standalone()) say_unarmed(filters);
        return;
    }
    wait_until_watched();
    if (!join_run() && read_standalone_wish()) ring = make_private_ring();
    if (ring == nullptr) return;
    mark_process();
    const bool seen = canary_is_seen();
    ring->canary = seen ? LW_CANARY_SEEN : LW_CANARY_UNSEEN;
    if (standalone != Standalone::off) say_armed(seen);
    if (!seen) ring = nullptr;
}

}  // namespace

void rearm_in_child()
{
    leave_ring();
    if (standalone != Standalone::off)
        ring = make_private_ring();
    else
        join_run();
    if (ring != nullptr) mark_process();
}

}  // namespace loopwatch::preload
