#include "participant/postgres/work.h"

#include <array>
#include <charconv>
#include <cmath>

namespace twofold::participant::postgres {

namespace {

using base::Result;

constexpr double kSafeInteger = 9007199254740992.0;  // 2^53
constexpr std::uint32_t kByteaType = 17;

base::Error wrong(std::string what) {
    return base::fail(base::Errc::invalid_argument, std::move(what));
}

struct Converter {
    Result<Param> operator()(std::monostate) const { return Param{}; }
    Result<Param> operator()(bool value) const { return Param{value ? "true" : "false"}; }
    Result<Param> operator()(std::int64_t value) const { return Param{std::to_string(value)}; }
    Result<Param> operator()(std::uint64_t value) const { return Param{std::to_string(value)}; }
    Result<Param> operator()(double value) const {
        // The parser has rounded such a number already: 12345678901234567890123 would arrive
        // changed.
        if (std::fabs(value) >= kSafeInteger && value == std::floor(value)) {
            return wrong("the number is too large to be exact in JSON; give it as text");
        }
        std::array<char, 32> text{};
        auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
        return Param{std::string(text.data(), end)};
    }
    Result<Param> operator()(work::Decimal&& value) const { return Param{std::move(value.text)}; }
    Result<Param> operator()(std::string&& value) const {
        // libpq takes C strings: what follows a zero would be lost without a word.
        if (value.find('\0') != std::string::npos) {
            return wrong("PostgreSQL's text has no zero characters");
        }
        return Param{std::move(value)};
    }
    Result<Param> operator()(base::Bytes&& value) const {
        return Param{"\\x" + base::hex_encode(value), kByteaType};
    }
};

}  // namespace

ParsedWork parse_work(const protocol::JsonText& text, const PostgresOptions& options) {
    work::WorkRules rules{
        options.statements, work::kPostgresSql, options.raw_sql, options.limits.statements_max};
    return work::bind_work<Param>(work::parse_work(text, rules), [](work::Value&& value) {
        return std::visit(Converter(), std::move(value));
    });
}

}  // namespace twofold::participant::postgres
