// Writes seeds into corpus folders:
//
//   twofold-fuzz-seeds CORPUS-FOLDER     (in the root folder of the repository)
#include "fuzz/seeds.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace {

std::string content_of(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
    using namespace twofold;
    if (argc != 2) {
        std::fputs("usage: twofold-fuzz-seeds CORPUS-FOLDER\n", stderr);
        return 2;
    }
    const std::filesystem::path root = argv[1];
    std::size_t count = 0;
    fuzz::SeedSink sink =
        [&](std::string_view target, const std::string& name, const base::Bytes& bytes) {
            std::filesystem::path folder = root / target;
            std::filesystem::create_directories(folder);
            std::ofstream out(folder / ("seed-" + name), std::ios::binary);
            out.write(reinterpret_cast<const char*>(bytes.data()),
                      static_cast<std::streamsize>(bytes.size()));
            ++count;
        };
    fuzz::seed_logs(sink);
    fuzz::seed_messages(sink);
    fuzz::seed_texts(sink);
    fuzz::seed_examples(content_of("contract/coordinator.openapi.json"), "coordinator_api", sink);
    fuzz::seed_examples(content_of("contract/participant.openapi.json"), "participant_api", sink);
    std::printf("seeds: %zu files in %s\n", count, root.c_str());
    return 0;
}
