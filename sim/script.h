// Scripted scenarios on the same world: calm options, named crashes, a transcript to read. A script
// is a function that drives a Script; what it said is compared with sim/testdata/<name>.txt.
#pragma once

#include "sim/clients.h"
#include "sim/cluster.h"

#include <functional>
#include <string>
#include <string_view>

namespace twofold::sim {

class Script {
public:
    explicit Script(std::uint32_t participants,
                    Sabotage sabotage = {},
                    std::uint64_t outcomes_max = 8'000'000);

    // A transfer between the first and the second participant, from one client, now.
    Clients::Operation& transfer();
    void run_for(Time time);
    // Runs until a line of the transcript contains `text`; false when nothing comes any more.
    bool run_until(std::string_view text);
    void note(std::string_view text);
    // Like the end of a random run: everything has settled and all books agree.
    void expect_settled();

    [[nodiscard]] Cluster& cluster() { return cluster_; }
    [[nodiscard]] const std::string& transcript() const { return transcript_; }

private:
    void heard(const std::string& line);

    std::string transcript_;
    std::string last_;
    std::string wanted_;
    bool found_ = false;
    Cluster cluster_;
    Clients clients_;
};

}  // namespace twofold::sim
