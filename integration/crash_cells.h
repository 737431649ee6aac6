// The cells of the crash matrix: point × fault × database × path. They are made from the list that
// the program itself prints, so that no point can be forgotten here.
#pragma once

#include "base/result.h"
#include "integration/database.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace twofold::integration {

enum class TrafficPath : std::uint8_t { one_shot, interactive };

// A line of `twofold crash-points`.
struct ListedPoint {
    std::string name;
    std::string owner;
    std::string moment;
    std::string path;
    std::vector<std::string> actions;
};

struct CrashCell {
    ListedPoint point;
    std::string action;
    DatabaseKind store = DatabaseKind::sqlite;
    TrafficPath path = TrafficPath::one_shot;
    // At which passage. The combinations of one point and fault differ in it.
    int turn = 1;

    // "wal_after_write/eio/sqlite/one_shot"
    [[nodiscard]] std::string name() const;
};

// Asks the program beside this one.
[[nodiscard]] base::Result<std::vector<ListedPoint>> listed_points();
[[nodiscard]] std::vector<CrashCell> all_cells(const std::vector<ListedPoint>& points);

}  // namespace twofold::integration
