// The program's client commands, run by tests as a script would run them.
#pragma once

#include <boost/json/value.hpp>

#include <iosfwd>
#include <map>
#include <string>
#include <vector>

namespace twofold::integration {

struct Ran {
    int code = -1;
    std::string out;
    std::string err;

    [[nodiscard]] bool out_has(const std::string& text) const {
        return out.find(text) != std::string::npos;
    }
    [[nodiscard]] bool err_has(const std::string& text) const {
        return err.find(text) != std::string::npos;
    }
    // The data as JSON; null when it is none.
    [[nodiscard]] boost::json::value json() const;
};

std::ostream& operator<<(std::ostream& to, const Ran& ran);

// With stdin closed: nobody can be asked.
[[nodiscard]] Ran run_cli(std::vector<std::string> arguments,
                          std::map<std::string, std::string> environment = {});

[[nodiscard]] std::string content_of(const std::string& path);

}  // namespace twofold::integration
