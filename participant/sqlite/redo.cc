#include "participant/sqlite/redo.h"

#include "base/keyed_hash.h"

#include <algorithm>

namespace twofold::participant::sqlite {

namespace {

constexpr std::uint8_t kRedoVersion = 1;

void encode_names(base::ByteWriter& out, const std::vector<std::string>& names) {
    out.u32(static_cast<std::uint32_t>(names.size()));
    for (const std::string& name : names) out.string(name);
}

std::vector<std::string> decode_names(base::ByteReader& in) {
    std::vector<std::string> names;
    std::uint32_t count = in.u32();
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) names.push_back(in.string());
    return names;
}

void encode_table(base::ByteWriter& out, const RedoTable& table) {
    out.string(table.name);
    out.string(table.rowid_name);
    encode_names(out, table.columns);
    encode_names(out, table.key_columns);
    out.u32(table.rows_before);
    out.u32(static_cast<std::uint32_t>(table.keys.size()));
    for (const TouchedKey& touched : table.keys) {
        encode_row(out, touched.key);
        out.u8(touched.before.has_value() ? 1 : 0);
        if (touched.before.has_value()) out.raw(*touched.before);
    }
    out.u32(static_cast<std::uint32_t>(table.rows.size()));
    for (const Row& row : table.rows) encode_row(out, row);
}

bool is_rowid_name(std::string_view name) {
    return name == "_rowid_" || name == "rowid" || name == "oid";
}

RedoTable decode_table(base::ByteReader& in) {
    RedoTable table;
    table.name = in.string();
    table.rowid_name = in.string();
    table.has_rowid = !table.rowid_name.empty();
    // It goes into SQL without quotes: quoted it would be a column's name.
    if (table.has_rowid && !is_rowid_name(table.rowid_name)) in.fail();
    table.columns = decode_names(in);
    table.key_columns = decode_names(in);
    table.rows_before = in.u32();
    std::uint32_t keys = in.u32();
    for (std::uint32_t i = 0; i < keys && in.ok(); ++i) {
        TouchedKey touched{decode_row(in), std::nullopt};
        std::uint8_t present = in.u8();
        if (present == 1) touched.before = in.array<16>();
        if (present > 1) in.fail();
        if (touched.key.size() != table.key_columns.size()) in.fail();
        table.keys.push_back(std::move(touched));
    }
    std::uint32_t rows = in.u32();
    std::size_t width = table.columns.size() + (table.has_rowid ? 1U : 0U);
    for (std::uint32_t i = 0; i < rows && in.ok(); ++i) {
        table.rows.push_back(decode_row(in));
        if (table.rows.back().size() != width) in.fail();
    }
    return table;
}

std::string where_key(const RedoTable& table, const Row& key) {
    std::string text;
    for (std::size_t i = 0; i < key.size(); ++i) {
        text += (i == 0 ? " WHERE " : " AND ") + quoted(table.key_columns[i]) + " = " +
                sql_literal(key[i]);
    }
    return text;
}

}  // namespace

ImageHash hash_image(const RedoTable& table, const Row& image) {
    Row visible(image.begin() + (table.has_rowid ? 1 : 0), image.end());
    base::Hash256 full = base::sha256(row_bytes(visible));
    ImageHash hash{};
    std::copy_n(full.begin(), hash.size(), hash.begin());
    return hash;
}

base::Bytes encode_redo(const Redo& redo) {
    base::Bytes bytes;
    base::ByteWriter out(bytes);
    out.u8(kRedoVersion);
    out.u32(static_cast<std::uint32_t>(redo.tables.size()));
    for (const RedoTable& table : redo.tables) encode_table(out, table);
    out.u32(static_cast<std::uint32_t>(redo.sequences.size()));
    for (const RedoSequence& sequence : redo.sequences) {
        out.string(sequence.table);
        encode_value(out, sequence.before);
        encode_value(out, sequence.after);
    }
    return bytes;
}

base::Result<Redo> decode_redo(base::ByteSpan bytes) {
    base::ByteReader in(bytes);
    std::uint8_t version = in.u8();
    if (in.ok() && version != kRedoVersion) {
        return base::fail(base::Errc::unsupported_version,
                          "prepared record has redo version " + std::to_string(version) +
                              "; this program knows " + std::to_string(kRedoVersion));
    }
    Redo redo;
    std::uint32_t tables = in.u32();
    for (std::uint32_t i = 0; i < tables && in.ok(); ++i) redo.tables.push_back(decode_table(in));
    std::uint32_t sequences = in.u32();
    for (std::uint32_t i = 0; i < sequences && in.ok(); ++i) {
        std::string name = in.string();
        Value before = decode_value(in);
        redo.sequences.push_back({std::move(name), std::move(before), decode_value(in)});
    }
    if (!in.finished()) return base::fail(base::Errc::corrupt, "prepared record is damaged");
    return redo;
}

std::string summary_of(const Redo& redo) {
    std::string text;
    for (const RedoTable& table : redo.tables) {
        if (!text.empty()) text += "; ";
        text += table.name + ": " + std::to_string(table.keys.size()) + " keys, " +
                std::to_string(table.rows.size()) + " rows after";
    }
    return text;
}

std::string sql_of(const Redo& redo) {
    std::string text;
    for (const RedoTable& table : redo.tables) {
        for (const TouchedKey& touched : table.keys) {
            text += "DELETE FROM " + quoted(table.name) + where_key(table, touched.key) + ";\n";
        }
    }
    for (const RedoTable& table : redo.tables) {
        for (const Row& row : table.rows) {
            std::string columns;
            std::string values;
            for (std::size_t i = 0; i < table.columns.size(); ++i) {
                columns += (i == 0 ? "" : ", ") + quoted(table.columns[i]);
                values += (i == 0 ? "" : ", ") + sql_literal(row[i + (table.has_rowid ? 1U : 0U)]);
            }
            text += "INSERT INTO " + quoted(table.name) + " (" + columns + ") VALUES (" + values +
                    ");\n";
        }
    }
    for (const RedoSequence& sequence : redo.sequences) {
        std::string name = sql_literal({sequence.table});
        text += "DELETE FROM sqlite_sequence WHERE name = " + name + ";\n";
        if (sequence.after.is_null()) continue;
        text += "INSERT INTO sqlite_sequence (name, seq) VALUES (" + name + ", " +
                sql_literal(sequence.after) + ");\n";
    }
    return text;
}

}  // namespace twofold::participant::sqlite
