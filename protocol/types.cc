#include "protocol/types.h"

#include "base/assert.h"

namespace twofold::protocol {

std::string_view to_string(Decision value) {
    return value == Decision::commit ? "commit" : "abort";
}

std::string_view to_string(Vote value) {
    switch (value) {
        case Vote::yes: return "yes";
        case Vote::no: return "no";
        case Vote::read_only: return "read_only";
    }
    TWOFOLD_UNREACHABLE("unknown Vote");
}

std::string_view to_string(Outcome value) {
    switch (value) {
        case Outcome::unknown: return "unknown";
        case Outcome::committed: return "committed";
        case Outcome::aborted: return "aborted";
        case Outcome::heuristic_commit: return "heuristic-commit";
        case Outcome::heuristic_abort: return "heuristic-abort";
        case Outcome::heuristic_mixed: return "heuristic-mixed";
        case Outcome::heuristic_hazard: return "heuristic-hazard";
    }
    TWOFOLD_UNREACHABLE("unknown Outcome");
}

std::string_view to_string(CallOutcome value) {
    switch (value) {
        case CallOutcome::replied: return "replied";
        case CallOutcome::not_sent: return "not_sent";
        case CallOutcome::unknown: return "unknown";
    }
    TWOFOLD_UNREACHABLE("unknown CallOutcome");
}

std::optional<Decision> parse_decision(std::string_view text) {
    if (text == "commit") return Decision::commit;
    if (text == "abort") return Decision::abort;
    return std::nullopt;
}

namespace {

void append_field(std::string& out, std::string_view field) {
    for (char c : field) {
        if (c == ':') {
            out += "%3A";
        } else if (c == '%') {
            out += "%25";
        } else {
            out.push_back(c);
        }
    }
}

std::optional<std::string> decode_field(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out.push_back(text[i]);
            continue;
        }
        std::string_view code = text.substr(i, 3);
        if (code == "%3A") {
            out.push_back(':');
        } else if (code == "%25") {
            out.push_back('%');
        } else {
            return std::nullopt;
        }
        i += 2;
    }
    return out;
}

}  // namespace

std::string Identity::text() const {
    std::string out;
    append_field(out, kind);
    for (const std::string& field : fields) {
        out.push_back(':');
        append_field(out, field);
    }
    return out;
}

std::optional<Identity> Identity::parse(std::string_view text) {
    if (text.size() > kTextSizeMax) return std::nullopt;
    Identity out;
    bool first = true;
    while (true) {
        std::size_t end = text.find(':');
        auto field = decode_field(text.substr(0, end));
        if (!field) return std::nullopt;
        if (first) {
            out.kind = std::move(*field);
            first = false;
        } else {
            out.fields.push_back(std::move(*field));
        }
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    if (out.kind.empty() || out.fields.size() > kFieldsMax) return std::nullopt;
    return out;
}

}  // namespace twofold::protocol
