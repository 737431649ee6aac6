#include "coordinator/core/directory.h"

#include "base/assert.h"

#include <limits>

namespace twofold::coordinator {

using protocol::ParticipantNumber;
using protocol::ParticipantRecord;

Directory::Directory(const std::map<ParticipantNumber, ParticipantRecord>& records) {
    for (const auto& [number, record] : records) put(record);
}

Participant* Directory::find(ParticipantNumber number) {
    return number.value < entries_.size() ? entries_[number.value].get() : nullptr;
}

const Participant* Directory::find(ParticipantNumber number) const {
    return number.value < entries_.size() ? entries_[number.value].get() : nullptr;
}

Participant& Directory::at(ParticipantNumber number) {
    Participant* found = find(number);
    TWOFOLD_ASSERT(found != nullptr, "participant number without a record");
    return *found;
}

const ParticipantRecord* Directory::find_by_uuid(const protocol::ParticipantUuid& uuid) const {
    auto found = by_uuid_.find(uuid);
    return found == by_uuid_.end() ? nullptr : &records_.at(found->second);
}

std::string Directory::name_of(ParticipantNumber number) const {
    auto found = records_.find(number);
    if (found == records_.end()) return "participant " + std::to_string(number.value);
    return found->second.name;
}

bool Directory::is_retired(ParticipantNumber number) const {
    return records_.at(number).retired || find(number)->retiring;
}

void Directory::put(const ParticipantRecord& record) {
    TWOFOLD_ASSERT(record.number.value != 0, "participant numbers start at 1");
    records_[record.number] = record;
    by_uuid_[record.uuid] = record.number;
    if (entries_.size() <= record.number.value)
        entries_.resize(record.number.value + std::size_t{1});
    auto& entry = entries_[record.number.value];
    if (!entry) entry = base::Boxed<Participant>(Participant());
    entry->enlistment =
        std::make_shared<const Enlistment>(Enlistment{record.number, record.uuid, record.identity});
}

std::optional<ParticipantNumber> Directory::next_number() const {
    if (records_.empty()) return ParticipantNumber(1);
    std::uint16_t last = records_.rbegin()->first.value;
    if (last == std::numeric_limits<std::uint16_t>::max()) return std::nullopt;
    return ParticipantNumber(static_cast<std::uint16_t>(last + 1));
}

}  // namespace twofold::coordinator
