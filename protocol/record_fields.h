// Reading and writing of the parts that several log records share. Internal to the record codec;
// docs/record_format.md has the bytes.
#pragma once

#include "base/bytes.h"
#include "protocol/records.h"

namespace twofold::protocol {

void write_identity(base::ByteWriter& out, const Identity& identity);
void write_proof(base::ByteWriter& out, const std::optional<ProofToken>& proof);
void write_idempotency(base::ByteWriter& out, const IdempotencyKey& key);
void write_branch_key(base::ByteWriter& out, const BranchKey& key);
void write_id_position(base::ByteWriter& out, const IdPosition& position);
void write_members(base::ByteWriter& out, const std::vector<MemberRecord>& members);
void write_branches(base::ByteWriter& out, const std::vector<BranchRecord>& branches);

// On malformed input the reader is failed and the value is meaningless.
[[nodiscard]] Identity read_identity(base::ByteReader& in);
[[nodiscard]] std::optional<ProofToken> read_proof(base::ByteReader& in);
[[nodiscard]] IdempotencyKey read_idempotency(base::ByteReader& in);
[[nodiscard]] BranchKey read_branch_key(base::ByteReader& in);
[[nodiscard]] IdPosition read_id_position(base::ByteReader& in);
[[nodiscard]] std::vector<MemberRecord> read_members(base::ByteReader& in);
[[nodiscard]] std::vector<BranchRecord> read_branches(base::ByteReader& in);
// A byte that must be 0 or 1.
[[nodiscard]] bool read_flag(base::ByteReader& in);

template <class Enum>
[[nodiscard]] Enum read_enum(base::ByteReader& in, std::uint8_t lowest, std::uint8_t highest) {
    std::uint8_t value = in.u8();
    if (value < lowest || value > highest) in.fail();
    return static_cast<Enum>(value);
}

}  // namespace twofold::protocol
