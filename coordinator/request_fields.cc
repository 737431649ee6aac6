#include "coordinator/request_fields.h"

#include <utility>

namespace twofold::coordinator {

using base::Errc;
using protocol::ObjectReader;

namespace {
constexpr std::size_t kLabelNameMax = 64;
constexpr std::size_t kLabelValueMax = 256;
}  // namespace

WaitFor read_wait(ObjectReader& in) {
    if (!in.has("wait")) return WaitFor::applied;
    std::string wait = in.text("wait");
    if (wait == "decided") return WaitFor::decided;
    if (wait != "applied") in.fail("wait", "\"applied\" or \"decided\"");
    return WaitFor::applied;
}

Milliseconds read_milliseconds(ObjectReader& in,
                               std::string_view name,
                               Milliseconds fallback,
                               Milliseconds longest) {
    if (!in.has(name)) return fallback;
    return Milliseconds(
        in.integer<std::uint32_t>(name, 1, static_cast<std::uint32_t>(longest.count())));
}

base::Result<std::map<std::string, std::string>> read_labels(ObjectReader& in,
                                                             std::size_t labels_max) {
    std::map<std::string, std::string> labels;
    const boost::json::value* value = in.optional("labels");
    if (value == nullptr) return labels;
    const boost::json::object* object = value->if_object();
    if (object == nullptr || object->size() > labels_max) {
        return base::fail(
            Errc::invalid_argument,
            "labels: must be an object of at most " + std::to_string(labels_max) + " strings");
    }
    for (const auto& member : *object) {
        std::string name(member.key());
        const boost::json::string* text = member.value().if_string();
        bool fits = !name.empty() && name.size() <= kLabelNameMax && text != nullptr &&
                    text->size() <= kLabelValueMax;
        if (!fits) {
            return base::fail(Errc::invalid_argument,
                              "labels." + name.substr(0, kLabelNameMax) +
                                  ": must be a string of at most 256 bytes under a name of 1 to "
                                  "64 bytes");
        }
        labels.emplace(std::move(name), std::string(*text));
    }
    return labels;
}

}  // namespace twofold::coordinator
