// SPDX-License-Identifier: Apache-2.0
#include "tap.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace tap {
namespace {

constexpr std::size_t capacity = 256;
Report reports[capacity];
volatile std::sig_atomic_t reported = 0;
const Report nothing = {};

struct Site {
    unsigned char* nop = nullptr;
    volatile unsigned short* semaphore = nullptr;
} site;

[[noreturn]] void fail(const char* what)
{
    std::fprintf(stderr, "tap: %s\n", what);
    std::_Exit(2);
}

// A handler: only copies. rdi, rsi, rdx, rcx are the probe's arguments (probes.def); the breakpoint is one byte long,
// like the nop it replaces, so returning goes on behind it.
void on_hit(int, siginfo_t*, void* context)
{
    const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
    const int index = reported;
    if (static_cast<std::size_t>(index) >= capacity) return;
    Report& to = reports[index];
    const char* call = reinterpret_cast<const char*>(registers[REG_RDI]);
    std::memset(to.call, 0, sizeof to.call);
    std::memcpy(to.call, call, std::min(std::strlen(call), sizeof to.call - 1));
    to.start_ns = static_cast<std::uint64_t>(registers[REG_RSI]);
    to.end_ns = static_cast<std::uint64_t>(registers[REG_RDX]);
    std::memcpy(&to.detail, reinterpret_cast<const void*>(registers[REG_RCX]), sizeof to.detail);
    reported = index + 1;
}

// The note of blocking_call: location, base, semaphore, then three strings.
Site site_in(const std::string& file, std::uint64_t load_address)
{
    const auto* header = reinterpret_cast<const Elf64_Ehdr*>(file.data());
    const auto* sections = reinterpret_cast<const Elf64_Shdr*>(file.data() + header->e_shoff);
    const char* names = file.data() + sections[header->e_shstrndx].sh_offset;
    for (unsigned i = 0; i < header->e_shnum; ++i) {
        if (std::strcmp(names + sections[i].sh_name, ".note.stapsdt") != 0) continue;
        const char* at = file.data() + sections[i].sh_offset;
        const char* end = at + sections[i].sh_size;
        while (at < end) {
            const auto* note = reinterpret_cast<const Elf64_Nhdr*>(at);
            const char* body = at + sizeof *note + ((note->n_namesz + 3) & ~3u);
            std::uint64_t words[3];
            std::memcpy(words, body, sizeof words);
            const char* provider = body + sizeof words;
            const char* name = provider + std::strlen(provider) + 1;
            if (std::strcmp(name, "blocking_call") == 0) {
                return {reinterpret_cast<unsigned char*>(load_address + words[0]),
                        reinterpret_cast<volatile unsigned short*>(load_address + words[2])};
            }
            at = body + ((note->n_descsz + 3) & ~3u);
        }
    }
    fail("the shim has no note of blocking_call");
}

lw_shim_register_fn* shim_register()
{
    auto* found = reinterpret_cast<lw_shim_register_fn*>(dlsym(RTLD_DEFAULT, LW_REGISTER_SYMBOL));
    if (found == nullptr) fail("the shim is not loaded");
    return found;
}

Site find_site()
{
    Dl_info shim;
    if (dladdr(reinterpret_cast<void*>(shim_register()), &shim) == 0) fail("dladdr of the shim");
    std::ifstream in(shim.dli_fname, std::ios::binary);
    const std::string file{std::istreambuf_iterator<char>(in), {}};
    if (file.size() < sizeof(Elf64_Ehdr)) fail("the shim's file cannot be read");
    return site_in(file, reinterpret_cast<std::uint64_t>(shim.dli_fbase));
}

void poke(unsigned char byte)
{
    const auto page = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    void* start = reinterpret_cast<void*>(reinterpret_cast<std::uint64_t>(site.nop) & ~(page - 1));
    if (mprotect(start, page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) fail("mprotect of the site");
    *site.nop = byte;
    mprotect(start, page, PROT_READ | PROT_EXEC);
}

}  // namespace

void attach()
{
    site = find_site();
    if (*site.nop != 0x90) fail("no nop at the site");

    struct sigaction action = {};
    action.sa_sigaction = on_hit;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, nullptr);
    poke(0xcc);
    raise();
}

void detach()
{
    lower();
    poke(0x90);
}

void await_tracer()
{
    site = find_site();
    while (*site.semaphore == 0) usleep(1000);
}

void raise()
{
    *site.semaphore = static_cast<unsigned short>(*site.semaphore + 1);
}
void lower()
{
    *site.semaphore = static_cast<unsigned short>(*site.semaphore - 1);
}

void clear()
{
    reported = 0;
}
std::size_t count()
{
    return static_cast<std::size_t>(reported);
}
const Report& report(std::size_t index)
{
    return index < count() ? reports[index] : nothing;
}

lw_loop_slot& loop()
{
    alignas(64) static lw_loop_slot slot = [] {
        lw_loop_slot fresh = {};
        fresh.magic = LW_SLOT_MAGIC;
        fresh.abi = LW_ABI;
        fresh.size = sizeof fresh;
        fresh.name = "test";
        fresh.loop_id = 1;
        fresh.floor_ns = 1;
        fresh.seq = 1;
        return fresh;
    }();
    return slot;
}

void enter()
{
    shim_register()(&loop());
}
void leave()
{
    shim_register()(nullptr);
}

}  // namespace tap
