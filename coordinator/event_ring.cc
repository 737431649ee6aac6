#include "coordinator/event_ring.h"

#include "base/json_writer.h"

#include <utility>
#include <vector>

namespace twofold::coordinator {

namespace json = base::json;

namespace {

std::string_view name_of(Event::Kind kind) {
    switch (kind) {
        case Event::Kind::changed:
        case Event::Kind::finished: return "transaction";
        case Event::Kind::participant: return "participant";
        case Event::Kind::alarm: return "alarm";
    }
    return "unknown";
}

std::string data_of(const Event& event) {
    std::string out = "{";
    if (event.txn != protocol::TxnId{}) json::text(out, "id", event.txn.text());
    if (event.kind == Event::Kind::changed) json::number(out, "version", event.version);
    if (event.kind == Event::Kind::finished) json::text(out, "outcome", to_string(event.outcome));
    if (!event.name.empty()) json::text(out, "participant", event.name);
    if (event.kind == Event::Kind::participant) json::flag(out, "up", event.up);
    if (!event.code.empty()) json::text(out, "code", event.code);
    if (!event.text.empty()) json::text(out, "text", event.text);
    return out + "}";
}

}  // namespace

std::string sse_text(const Event& event) {
    std::string out = "id: " + std::to_string(event.id) + "\nevent: ";
    out += name_of(event.kind);
    // One line: JSON text has no raw line breaks.
    return out + "\ndata: " + data_of(event) + "\n\n";
}

void EventRing::add(Event event) {
    event.id = ++last_id_;
    ring_.push_back(std::move(event));
    if (ring_.size() > size_) ring_.pop_front();
    wake_all();
}

void EventRing::close() {
    closed_ = true;
    wake_all();
}

void EventRing::wake_all() {
    std::vector<std::uint64_t> waiting;
    waiting.reserve(readers_.size());
    for (const auto& [number, wake] : readers_) waiting.push_back(number);
    for (std::uint64_t number : waiting) {
        auto reader = readers_.find(number);
        if (reader == readers_.end()) continue;  // an earlier one of this round has ended it
        auto wake = reader->second;              // it may end itself
        wake();
    }
}

const Event* EventRing::after(std::uint64_t id, bool& gap) const {
    std::uint64_t oldest = ring_.empty() ? last_id_ + 1 : ring_.front().id;
    gap = id + 1 < oldest || id > last_id_;
    if (ring_.empty()) return nullptr;
    if (gap) return &ring_.front();
    return id == last_id_ ? nullptr : &ring_[static_cast<std::size_t>(id + 1 - oldest)];
}

std::uint64_t EventRing::subscribe(std::function<void()> wake) {
    readers_.emplace(next_reader_, std::move(wake));
    return next_reader_++;
}

}  // namespace twofold::coordinator
