#include "protocol/record_fields.h"

namespace twofold::protocol {

using base::ByteReader;
using base::ByteWriter;

void write_identity(ByteWriter& out, const Identity& identity) {
    out.string(identity.kind);
    out.u8(static_cast<std::uint8_t>(identity.fields.size()));
    for (const std::string& field : identity.fields) out.string(field);
}

Identity read_identity(ByteReader& in) {
    Identity identity;
    identity.kind = in.string();
    std::uint8_t count = in.u8();
    for (std::uint8_t i = 0; i < count && in.ok(); ++i) identity.fields.push_back(in.string());
    return identity;
}

void write_proof(ByteWriter& out, const std::optional<ProofToken>& proof) {
    out.u8(proof ? 1 : 0);
    if (!proof) return;
    out.u64(proof->xid);
    out.u32(proof->position.timeline);
    out.u64(proof->position.value);
    out.u8(proof->witness ? 1 : 0);
}

std::optional<ProofToken> read_proof(ByteReader& in) {
    if (!read_flag(in)) return std::nullopt;
    ProofToken proof;
    proof.xid = in.u64();
    proof.position.timeline = in.u32();
    proof.position.value = in.u64();
    proof.witness = read_flag(in);
    return proof;
}

void write_idempotency(ByteWriter& out, const IdempotencyKey& key) {
    out.raw(key.key_hash);
    out.raw(key.fingerprint);
}

IdempotencyKey read_idempotency(ByteReader& in) {
    IdempotencyKey key;
    key.key_hash = in.array<16>();
    key.fingerprint = in.array<16>();
    return key;
}

void write_branch_key(ByteWriter& out, const BranchKey& key) {
    out.raw(key.group.bytes);
    out.u16(key.branch);
    out.u16(key.attempt);
}

BranchKey read_branch_key(ByteReader& in) {
    BranchKey key;
    key.group.bytes = in.array<kGtridSize>();
    key.branch = in.u16();
    key.attempt = in.u16();
    return key;
}

void write_id_position(ByteWriter& out, const IdPosition& position) {
    out.u32(position.epoch);
    out.u64(position.sequence);
}

IdPosition read_id_position(ByteReader& in) {
    IdPosition position;
    position.epoch = in.u32();
    position.sequence = in.u64();
    return position;
}

void write_members(ByteWriter& out, const std::vector<MemberRecord>& members) {
    out.u16(static_cast<std::uint16_t>(members.size()));
    for (const MemberRecord& member : members) {
        out.raw(member.txn.bytes);
        out.u8(member.idempotency ? 1 : 0);
        if (member.idempotency) write_idempotency(out, *member.idempotency);
        out.u16(static_cast<std::uint16_t>(member.labels.size()));
        for (const auto& [name, value] : member.labels) {
            out.string(name);
            out.string(value);
        }
    }
}

std::vector<MemberRecord> read_members(ByteReader& in) {
    std::vector<MemberRecord> members;
    std::uint16_t count = in.u16();
    for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
        MemberRecord member;
        member.txn.bytes = in.array<kGtridSize>();
        if (read_flag(in)) member.idempotency = read_idempotency(in);
        std::uint16_t label_count = in.u16();
        for (std::uint16_t k = 0; k < label_count && in.ok(); ++k) {
            std::string name = in.string();
            member.labels[std::move(name)] = in.string();
        }
        members.push_back(std::move(member));
    }
    return members;
}

void write_branches(ByteWriter& out, const std::vector<BranchRecord>& branches) {
    out.u16(static_cast<std::uint16_t>(branches.size()));
    for (const BranchRecord& branch : branches) {
        out.u16(branch.branch);
        out.u16(branch.attempt);
        out.u16(branch.participant.value);
        out.raw(branch.uuid.bytes);
        write_identity(out, branch.identity);
        out.u32(branch.participant_epoch);
        out.u8(static_cast<std::uint8_t>(branch.vote));
        write_proof(out, branch.proof);
    }
}

std::vector<BranchRecord> read_branches(ByteReader& in) {
    std::vector<BranchRecord> branches;
    std::uint16_t count = in.u16();
    for (std::uint16_t i = 0; i < count && in.ok(); ++i) {
        BranchRecord branch;
        branch.branch = in.u16();
        branch.attempt = in.u16();
        branch.participant = ParticipantNumber(in.u16());
        branch.uuid.bytes = in.array<16>();
        branch.identity = read_identity(in);
        branch.participant_epoch = in.u32();
        branch.vote = read_enum<Vote>(in, 1, 3);
        branch.proof = read_proof(in);
        branches.push_back(std::move(branch));
    }
    return branches;
}

bool read_flag(ByteReader& in) {
    std::uint8_t value = in.u8();
    if (value > 1) in.fail();
    return value == 1;
}

}  // namespace twofold::protocol
