// What a participant's next process does with the file that a power cut left, and whether all that
// had been promised is there.
#pragma once

#include "damage/bank_file.h"
#include "damage/bank_promises.h"

#include <functional>
#include <string>

namespace twofold::damage {

class BankRecovery {
public:
    // `tell`: called before and after each call that changes something, for a recording.
    BankRecovery(std::string path, std::string vfs, Promises promises)
        : path_(std::move(path)), vfs_(std::move(vfs)), promises_(std::move(promises)) {}
    void on_event(std::function<void(const Event&)> tell) { tell_ = std::move(tell); }

    // Opens, starts, finishes every prepared branch as its coordinator would, repeats every answer
    // that was given, and does one new branch of this number. Empty when all is as promised.
    [[nodiscard]] std::string run(std::uint64_t new_branch);

private:
    void event(Step step, std::uint64_t number);
    std::string check_start(const protocol::ResourceStart& start);
    std::string finish_listed();
    std::string repeat_answers();
    std::string repeat_answer(std::uint64_t branch, Step step);
    std::string commit(std::uint64_t branch);
    std::string rollback(std::uint64_t branch, protocol::FinishStatus expected);
    std::string add_branch(std::uint64_t branch);

    std::string path_;
    std::string vfs_;
    Promises promises_;
    std::function<void(const Event&)> tell_;
    OpenedStore opened_;
    std::set<std::uint64_t> listed_;
    std::set<std::uint64_t> booked_;
};

}  // namespace twofold::damage
