// Every operation of an OpenAPI document as a request, with each of its examples as the body.
#include "fuzz/seeds.h"

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <vector>

namespace twofold::fuzz {

namespace {

namespace json = boost::json;

std::string upper(std::string text) {
    std::ranges::transform(text, text.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    return text;
}

const json::value* find(const json::value* value, const char* name) {
    const json::object* object = value != nullptr ? value->if_object() : nullptr;
    return object != nullptr ? object->if_contains(name) : nullptr;
}

std::vector<std::string> bodies_of(const json::value& operation) {
    std::vector<std::string> bodies;
    const json::value* media =
        find(find(find(&operation, "requestBody"), "content"), "application/json");
    const json::value* examples = find(media, "examples");
    if (examples == nullptr || !examples->is_object()) return bodies;
    for (const auto& example : examples->get_object()) {
        const json::value* value = find(&example.value(), "value");
        if (value != nullptr) bodies.push_back(json::serialize(*value));
    }
    return bodies;
}

// The parameters of the path: the first transaction that a world begins, and its participant.
std::string path_of(std::string path) {
    constexpr std::string_view kFirstId = "AQAAAAAAAAAAAAAAAAAAAQAAAAAAAQAAAAAAAAAAAAAAAAAA";
    for (auto [name, value] :
         {std::pair<std::string_view, std::string_view>{"{id}", kFirstId}, {"{name}", "north"}}) {
        std::size_t at = path.find(name);
        if (at != std::string::npos) path.replace(at, name.size(), value);
    }
    return path;
}

}  // namespace

void seed_examples(const std::string& document, std::string_view target, const SeedSink& sink) {
    const json::value parsed = json::parse(document);
    int number = 0;
    auto add = [&](std::string_view to, const std::string& front, const std::string& text) {
        std::string whole = front + text;
        sink(to, "example-" + std::to_string(++number), {whole.begin(), whole.end()});
    };
    for (const auto& path : parsed.at("paths").as_object()) {
        for (const auto& operation : path.value().as_object()) {
            std::string head = upper(std::string(operation.key())) + ' ' +
                               path_of(std::string(path.key())) + " HTTP/1.1\r\nHost: h\r\n";
            std::vector<std::string> bodies = bodies_of(operation.value());
            if (bodies.empty()) add(target, std::string(2, '\0'), head + "\r\n");
            for (const std::string& body : bodies) {
                add(target,
                    std::string(2, '\0'),
                    head +
                        "Content-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: " +
                        std::to_string(body.size()) + "\r\n\r\n" + body);
                add("coordinator_bodies", "", body);
                add("participant_messages", "", body);
            }
        }
    }
}

}  // namespace twofold::fuzz
