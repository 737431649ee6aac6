// What libFuzzer calls; compiled once for each target, whose name is TWOFOLD_FUZZ_TARGET.
#include "base/log.h"
#include "fuzz/targets.h"

#include <cstddef>
#include <cstdint>

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerInitialize(int* /*argc*/, char*** /*argv*/) {
    twofold::base::set_log_sink([](auto, auto, auto, const auto&) {},
                                twofold::base::LogLevel::error);
    return 0;
}

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    twofold::fuzz::TWOFOLD_FUZZ_TARGET({data, size});
    return 0;
}
