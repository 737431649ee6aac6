// Text for terminals: columns of equal width, and nothing that a terminal would obey. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace twofold::app {

using Row = std::vector<std::string>;

// `text` with control characters replaced by '?': what others sent must not move the cursor, change
// colours or make lines of its own.
[[nodiscard]] std::string printable(std::string_view text);

// A line of headers and one per row, each with its line end; two spaces between columns, none at
// the end of a line. Cells are made printable; empty ones become "-". Rows may be shorter than the
// headers.
[[nodiscard]] std::string text_table(const Row& headers, const std::vector<Row>& rows);

// "1 transaction", "2 transactions".
[[nodiscard]] std::string counted(std::size_t count, std::string_view noun);

// "name  value" lines, aligned; pairs with an empty value are left out.
[[nodiscard]] std::string text_fields(
    const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace twofold::app
