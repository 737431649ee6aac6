#include "integration/crash_cells.h"

#include "integration/process.h"

#include <algorithm>
#include <sstream>

namespace twofold::integration {

namespace {

using base::Errc;
using base::fail;
using base::Result;

std::string store_name(DatabaseKind store) {
    return store == DatabaseKind::sqlite ? "sqlite" : "postgres";
}

std::string path_name(TrafficPath path) {
    return path == TrafficPath::one_shot ? "one_shot" : "interactive";
}

std::vector<std::string> split(const std::string& text, char separator) {
    std::vector<std::string> parts;
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
    return parts;
}

// Which combinations do not exist, and why.
bool is_applicable(const ListedPoint& point, DatabaseKind store, TrafficPath path) {
    bool of_other_store =
        (point.owner == "sqlite" || point.owner == "postgres") && point.owner != store_name(store);
    bool of_other_path = point.path != "any" && point.path != path_name(path);
    if (of_other_store || of_other_path) return false;
    // PostgreSQL gets a one-shot branch's statements and its PREPARE in one message: there is no
    // moment in between.
    bool in_one_message = point.name == "part_during_work" && store == DatabaseKind::postgres &&
                          path == TrafficPath::one_shot;
    return !in_one_message;
}

// A loop that stands still is a pause; only of what has a thread of its own it is something else.
bool is_applicable(const ListedPoint& point, const std::string& action) {
    return action != "stall" || point.name.starts_with("wal_") || point.owner == "sqlite";
}

}  // namespace

std::string CrashCell::name() const {
    return point.name + "/" + action + "/" + store_name(store) + "/" + path_name(path);
}

Result<std::vector<ListedPoint>> listed_points() {
    TWOFOLD_TRY(Finished finished, run_program(sibling_program("twofold"), {"crash-points"}));
    if (!finished.status.exited_with(0)) {
        return fail(Errc::precondition_failed,
                    "`twofold crash-points`: " + finished.status.text() +
                        "; is it a build with crash points?");
    }
    std::vector<ListedPoint> points;
    for (const std::string& line : split(finished.output, '\n')) {
        std::vector<std::string> words = split(line, ' ');
        if (words.size() != 5) return fail(Errc::corrupt, "`twofold crash-points`: " + line);
        points.push_back({words[0], words[1], words[2], words[3], split(words[4], ',')});
    }
    return points;
}

std::vector<CrashCell> all_cells(const std::vector<ListedPoint>& points) {
    std::vector<CrashCell> cells;
    for (const ListedPoint& point : points) {
        for (const std::string& action : point.actions) {
            if (!is_applicable(point, action)) continue;
            int turn = 0;
            for (DatabaseKind store : {DatabaseKind::sqlite, DatabaseKind::postgres}) {
                for (TrafficPath path : {TrafficPath::one_shot, TrafficPath::interactive}) {
                    if (!is_applicable(point, store, path)) continue;
                    ++turn;
                    // What happens once in a life is passed once.
                    cells.push_back(
                        {point, action, store, path, point.moment == "work" ? turn : 1});
                }
            }
        }
    }
    return cells;
}

}  // namespace twofold::integration
