// What a branch does in the model database. The product treats work as opaque text, so here it is
// just the number of an entry in a table: "[17]".
#pragma once

#include "protocol/messages.h"

#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace twofold::sim {

struct Change {
    std::uint32_t account = 0;
    std::int64_t amount = 0;
};

struct WorkSpec {
    std::uint32_t id = 0;
    std::uint32_t operation = 0;  // the client's intention that this is part of
    std::uint32_t participant = 0;
    std::vector<Change> changes;  // empty: the branch only reads
    bool refuse = false;          // a statement of it always fails
};

class WorkTable {
public:
    protocol::JsonText add(WorkSpec spec) {
        spec.id = static_cast<std::uint32_t>(specs_.size());
        specs_.push_back(std::move(spec));
        return std::make_shared<const std::string>("[" + std::to_string(specs_.size() - 1) + "]");
    }
    [[nodiscard]] const WorkSpec& at(std::uint32_t id) const { return specs_.at(id); }
    [[nodiscard]] static std::uint32_t id_of(const protocol::JsonText& text) {
        std::uint32_t id = 0;
        std::from_chars(text->data() + 1, text->data() + text->size() - 1, id);
        return id;
    }
    [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(specs_.size()); }

private:
    std::vector<WorkSpec> specs_;
};

// "e2.17/1.1" for people: epoch, sequence, branch, attempt. Tags are random and tell nothing.
[[nodiscard]] inline std::string short_text(const protocol::TxnId& txn) {
    return "e" + std::to_string(txn.epoch()) + "." + std::to_string(txn.sequence());
}
[[nodiscard]] inline std::string short_text(const protocol::BranchKey& key) {
    return short_text(key.group) + "/" + std::to_string(key.branch) + "." +
           std::to_string(key.attempt);
}

}  // namespace twofold::sim
