// SPDX-License-Identifier: Apache-2.0
#include "stack/image.hpp"

#include <elfutils/libdwelf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "stack/function_name.hpp"

namespace loopwatch {
namespace {

constexpr std::size_t max_symbols = 4'000'000;
constexpr std::size_t max_cached_places = 65'536;
constexpr std::size_t max_name_bytes = 64 * 1024;  // a mangled name longer than this is no person's

std::string hex(const void* bytes, std::size_t size)
{
    static constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (std::size_t i = 0; i < size; ++i) {
        const auto byte = static_cast<const unsigned char*>(bytes)[i];
        text += digits[byte >> 4];
        text += digits[byte & 15];
    }
    return text;
}

std::string build_id_of(int fd)
{
    elf_version(EV_CURRENT);
    const std::unique_ptr<Elf, decltype(&elf_end)> elf(elf_begin(fd, ELF_C_READ, nullptr), &elf_end);
    const void* id = nullptr;
    const ssize_t size = elf ? dwelf_elf_gnu_build_id(elf.get(), &id) : 0;
    return size > 0 && size <= 64 ? hex(id, static_cast<std::size_t>(size)) : std::string();
}

// What .gnu_debuglink holds of its file.
std::uint32_t checksum(int fd, Progress& progress)
{
    std::vector<unsigned char> block(1 << 20);
    uLong crc = crc32(0, nullptr, 0);
    off_t at = 0;
    for (ssize_t got = 0; (got = ::pread(fd, block.data(), block.size(), at)) > 0; at += got, progress.beat())
        crc = crc32(crc, block.data(), static_cast<uInt>(got));
    return static_cast<std::uint32_t>(crc);
}

// Of the names of one address people know the public one: nanosleep, not __GI___nanosleep.
std::uint32_t rank_of(const char* name, const GElf_Sym& symbol)
{
    const auto underscores = static_cast<std::uint32_t>(std::strncmp(name, "_Z", 2) == 0 ? 0 : std::strspn(name, "_"));
    const int binding = GELF_ST_BIND(symbol.st_info);
    const std::uint32_t bind = binding == STB_GLOBAL ? 0 : binding == STB_WEAK ? 1 : 2;
    const std::uint32_t untyped = GELF_ST_TYPE(symbol.st_info) == STT_NOTYPE ? 1 : 0;
    return untyped * 1024 + std::min(underscores, 64u) * 4 + bind;
}

}  // namespace

std::string read_build_id(int elf, const Segments& segments)
{
    return segments.headers.empty() ? std::string() : build_id_of(elf);
}

Result<std::unique_ptr<Image>> Image::open(Fd file, Progress& progress)
{
    auto segments = read_segments(file.raw());
    if (!segments) return segments.error();
    return std::unique_ptr<Image>(new Image(std::move(file), std::move(*segments), progress));
}

Image::Image(Fd file, Segments segments, Progress& progress)
    : file_(std::move(file)), segments_(std::move(segments)), progress_(progress), build_id_(build_id_of(file_.raw()))
{
}

Image::~Image()
{
    lines_.reset();
    dwfl_.reset();
}

const std::vector<Frame>& Image::symbolize(std::uint64_t vaddr)
{
    if (cache_.size() >= max_cached_places) cache_.clear();
    const auto [at, missing] = cache_.try_emplace(vaddr);
    if (missing) at->second = resolve(vaddr);
    return at->second;
}

const std::string& Image::called_before(std::uint64_t return_vaddr)
{
    if (called_.size() >= max_cached_places) called_.clear();
    const auto [at, missing] = called_.try_emplace(return_vaddr);
    if (!missing) return at->second;
    if (!imports_) imports_.emplace(file_.raw(), segments_, progress_);
    const auto name = imports_->called_before(file_.raw(), segments_, return_vaddr);
    return at->second = demangle(name.c_str());
}

int Image::find_debuginfo(Dwfl_Module*, void** user, const char*, Dwarf_Addr, const char*, const char* debuglink,
                          GElf_Word crc, char**)
{
    auto* self = static_cast<Image*>(*user);
    if (self == nullptr || !self->finder_) return -1;
    Fd candidate = self->finder_({self->build_id_, debuglink != nullptr ? debuglink : ""});
    if (!candidate) return -1;
    const bool ours = self->build_id_.empty() ? checksum(candidate.raw(), self->progress_) == crc
                                              : build_id_of(candidate.raw()) == self->build_id_;
    return ours ? candidate.release() : -1;
}

void Image::load()
{
    if (loaded_) return;
    loaded_ = true;
    static const Dwfl_Callbacks callbacks = {nullptr, &Image::find_debuginfo, &dwfl_offline_section_address, nullptr};
    dwfl_.reset(dwfl_begin(&callbacks));
    if (!dwfl_) return;
    Fd copy(::fcntl(file_.raw(), F_DUPFD_CLOEXEC, 0));
    // Base 0: addresses in libdwfl are the file's own.
    module_ = dwfl_report_elf(dwfl_.get(), "image", "image", copy.raw(), 0, true);
    if (module_ == nullptr) return;
    (void)copy.release();  // libdwfl's
    dwfl_report_end(dwfl_.get(), nullptr, nullptr);
    void** user = nullptr;
    dwfl_module_info(module_, &user, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
    *user = this;
    load_symbols();
    Dwarf_Addr bias = 0;
    if (Dwarf* dwarf = dwfl_module_getdwarf(module_, &bias); dwarf != nullptr && bias == 0)
        lines_ = std::make_unique<DebugLines>(dwarf, progress_);
}

void Image::load_symbols()
{
    const int count = dwfl_module_getsymtab(module_);
    for (int i = 1; i < count && symbols_.size() < max_symbols; ++i) {
        if (i % 4096 == 0) progress_.beat();
        GElf_Sym symbol;
        GElf_Addr vaddr = 0;
        GElf_Word section = SHN_UNDEF;
        const char* name = dwfl_module_getsym_info(module_, i, &symbol, &vaddr, &section, nullptr, nullptr);
        const int type = GELF_ST_TYPE(symbol.st_info);
        const bool code = type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
        if (name == nullptr || name[0] == '\0' || !code || section == SHN_UNDEF || section == SHN_ABS) continue;
        if (!segments_.contains(vaddr, 0, PF_X)) continue;
        symbols_.push_back({vaddr, symbol.st_size, name, rank_of(name, symbol)});
    }
    std::sort(symbols_.begin(), symbols_.end(), [](const Symbol& a, const Symbol& b) {
        return a.vaddr != b.vaddr ? a.vaddr < b.vaddr : a.rank < b.rank;
    });
    symbols_.erase(std::unique(symbols_.begin(), symbols_.end(),
                               [](const Symbol& a, const Symbol& b) { return a.vaddr == b.vaddr; }),
                   symbols_.end());
    symbols_.shrink_to_fit();
}

std::vector<Frame> Image::resolve(std::uint64_t vaddr)
{
    load();
    std::vector<Frame> frames;
    if (lines_) {
        for (auto& place : lines_->places(vaddr)) {
            Frame frame;
            frame.function = std::move(place.function);
            frame.file = std::move(place.file);
            frame.line = place.line;
            frame.inlined = true;
            frames.push_back(std::move(frame));
        }
    }
    if (frames.empty()) frames.emplace_back();
    frames.back().inlined = false;
    // The symbol knows the arguments even where DWARF has no linkage name: functions of internal linkage, coroutine
    // bodies.
    if (const Symbol* symbol = symbol_at(vaddr);
        symbol != nullptr && ::strnlen(symbol->name, max_name_bytes) < max_name_bytes) {
        std::string name = symbol->name;
        if (const auto version = name.find('@'); version != std::string::npos && version > 0) name.resize(version);
        frames.back().function = demangle(name.c_str());
    }
    for (Frame& frame : frames) {
        frame.build_id = build_id_;
        frame.offset = vaddr;
    }
    return frames;
}

const Image::Symbol* Image::symbol_at(std::uint64_t vaddr) const
{
    auto after = std::upper_bound(symbols_.begin(), symbols_.end(), vaddr,
                                  [](std::uint64_t a, const Symbol& symbol) { return a < symbol.vaddr; });
    // A sized symbol may lie inside another one (assembler labels): the nearest that really covers the address counts.
    // One without a size reaches to the next symbol.
    for (int tries = 0; tries < 16 && after != symbols_.begin(); ++tries) {
        --after;
        if (vaddr - after->vaddr < after->size || (after->size == 0 && tries == 0)) return &*after;
    }
    return nullptr;
}

}  // namespace loopwatch
