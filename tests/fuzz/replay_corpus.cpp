// SPDX-License-Identifier: Apache-2.0
//
// A fuzzer's corpus without libFuzzer, for every compiler: each file of the folders named is one input. What is broken
// aborts.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv)
{
    std::size_t inputs = 0;
    for (int i = 1; i < argc; ++i)
        for (const auto& file : std::filesystem::directory_iterator(argv[i])) {
            std::ifstream from(file.path(), std::ios::binary);
            const std::vector<char> bytes(std::istreambuf_iterator<char>(from), {});
            const std::vector<std::uint8_t> input(bytes.begin(), bytes.end());
            std::fprintf(stderr, "%s\n", file.path().c_str());
            LLVMFuzzerTestOneInput(input.data(), input.size());
            ++inputs;
        }
    std::printf("%zu inputs\n", inputs);
    return inputs == 0 ? 1 : 0;  // a corpus that is not there is not a corpus that passes
}
