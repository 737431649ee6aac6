#include "app/server_look.h"

#include "app/answer_view.h"

#include <cstdlib>
#include <utility>

namespace twofold::app {

namespace {

struct Sample {
    std::string_view labels;  // between the braces
    double value = 0;
};

// Calls visit(sample) for each sample of this name.
template <class Visit>
void each_sample(std::string_view text, std::string_view name, Visit visit) {
    while (!text.empty()) {
        std::size_t end = text.find('\n');
        std::string_view line = text.substr(0, end);
        text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
        if (!line.starts_with(name)) continue;
        line.remove_prefix(name.size());
        Sample sample;
        if (line.starts_with('{')) {
            std::size_t close = line.rfind('}');
            if (close == std::string_view::npos) continue;
            sample.labels = line.substr(1, close - 1);
            line.remove_prefix(close + 1);
        }
        if (!line.starts_with(' ')) continue;  // another name that begins like this one
        sample.value = std::strtod(std::string(line).c_str(), nullptr);
        visit(sample);
    }
}

// The values of our labels have no quotes within.
std::string label_value(std::string_view labels, std::string_view label) {
    std::string start = std::string(label) + "=\"";
    for (std::size_t at = labels.find(start); at != std::string_view::npos;
         at = labels.find(start, at + 1)) {
        if (at != 0 && labels[at - 1] != ',') continue;
        std::string_view rest = labels.substr(at + start.size());
        return std::string(rest.substr(0, rest.find('"')));
    }
    return {};
}

}  // namespace

std::optional<double> Figures::sum(std::string_view name, std::string_view label) const {
    std::optional<double> out;
    each_sample(text_, name, [&](const Sample& sample) {
        bool wanted = label.empty() || sample.labels.find(label) != std::string_view::npos;
        if (wanted) out = out.value_or(0) + sample.value;
    });
    return out;
}

std::string Figures::label(std::string_view name, std::string_view label) const {
    std::string out;
    each_sample(text_, name, [&](const Sample& sample) {
        if (out.empty()) out = label_value(sample.labels, label);
    });
    return out;
}

std::map<std::string, double> Figures::by_label(std::string_view name,
                                                std::string_view label) const {
    std::map<std::string, double> out;
    each_sample(text_, name, [&](const Sample& sample) {
        out[label_value(sample.labels, label)] += sample.value;
    });
    return out;
}

ServerLook look_at(const Client& client, std::chrono::milliseconds limit) {
    ServerLook look;
    auto ready = client.get("/readyz", limit);
    if (!ready.has_value()) {
        look.why_not = ready.error().context;
        return look;
    }
    look.reachable = true;
    look.ready = ready.value().status == 200;
    if (!look.ready) {
        std::string detail = text_of(ready.value().json, "detail");
        look.why_not = detail.empty() ? "status " + std::to_string(ready.value().status) : detail;
    }
    auto metrics = client.get("/metrics", limit);
    if (metrics.has_value() && metrics.value().status == 200) {
        look.figures = Figures(std::move(metrics.value().text));
        look.role = look.figures.label("twofold_build_info", "role");
        look.version = look.figures.label("twofold_build_info", "version");
    }
    return look;
}

}  // namespace twofold::app
