#include "integration/run_cli.h"

#include "integration/cluster.h"
#include "integration/process.h"
#include "integration/temp_dir.h"

#include <boost/json/parse.hpp>

#include <fstream>
#include <iterator>
#include <ostream>
#include <utility>

namespace twofold::integration {

boost::json::value Ran::json() const {
    boost::system::error_code error;
    boost::json::value value = boost::json::parse(out, error);
    return error ? boost::json::value() : value;
}

std::ostream& operator<<(std::ostream& to, const Ran& ran) {
    return to << "exit code " << ran.code << "\nstdout: " << ran.out << "\nstderr: " << ran.err;
}

std::string content_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

Ran run_cli(std::vector<std::string> arguments, std::map<std::string, std::string> environment) {
    auto dir = TempDir::create("twofold-cli");
    if (!dir.has_value()) return {-1, {}, dir.error().text()};
    std::string path = dir.value().path();
    std::vector<std::string> all{
        "-c",
        "exec \"$0\" \"$@\" >" + path + "/out 2>" + path + "/err </dev/null",
        sibling_program("twofold")};
    for (std::string& argument : arguments) all.push_back(std::move(argument));
    auto done = run_program("/bin/sh", std::move(all), std::move(environment), kPatience);
    if (!done.has_value()) return {-1, {}, done.error().text()};
    const ExitStatus& status = done.value().status;
    return {status.signalled ? -1 : status.number,
            content_of(path + "/out"),
            content_of(path + "/err")};
}

}  // namespace twofold::integration
