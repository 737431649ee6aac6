#include "app/text_table.h"

#include <algorithm>
#include <cstddef>

namespace twofold::app {

namespace {

// Characters, not bytes: the bytes that continue a UTF-8 character take no place.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(
        text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

void append_line(std::string& out, const Row& cells, const std::vector<std::size_t>& widths) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
        const std::string& cell = i < cells.size() ? cells[i] : std::string();
        if (i != 0) line += "  ";
        line += cell;
        line.append(widths[i] - width(cell), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
}

}  // namespace

std::string printable(std::string_view text) {
    std::string out(text);
    std::ranges::replace_if(
        out,
        [](char c) {
            auto byte = static_cast<unsigned char>(c);
            return byte < 0x20U || byte == 0x7FU;
        },
        '?');
    // The other control characters, U+0080 to U+009F, begin with this byte in UTF-8.
    for (std::size_t i = 0; i + 1 < out.size(); ++i) {
        bool control = static_cast<unsigned char>(out[i]) == 0xC2U &&
                       static_cast<unsigned char>(out[i + 1]) < 0xA0U;
        if (control) out.replace(i, 2, "?");
    }
    return out;
}

std::string text_table(const Row& headers, const std::vector<Row>& rows) {
    std::vector<Row> shown;
    std::vector<std::size_t> widths;
    for (const std::string& header : headers) widths.push_back(width(header));
    for (const Row& row : rows) {
        Row cells;
        for (std::size_t i = 0; i < headers.size(); ++i) {
            bool empty = i >= row.size() || row[i].empty();
            cells.push_back(empty ? "-" : printable(row[i]));
            widths[i] = std::max(widths[i], width(cells[i]));
        }
        shown.push_back(std::move(cells));
    }
    std::string out;
    append_line(out, headers, widths);
    for (const Row& row : shown) append_line(out, row, widths);
    return out;
}

std::string counted(std::size_t count, std::string_view noun) {
    return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::string text_fields(const std::vector<std::pair<std::string, std::string>>& fields) {
    std::size_t widest = 0;
    for (const auto& [name, value] : fields) {
        if (!value.empty()) widest = std::max(widest, width(name));
    }
    std::string out;
    for (const auto& [name, value] : fields) {
        if (value.empty()) continue;
        out += name + std::string(widest - width(name) + 2, ' ') + printable(value) + "\n";
    }
    return out;
}

}  // namespace twofold::app
