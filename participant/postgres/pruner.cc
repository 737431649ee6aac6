#include "participant/postgres/pruner.h"

#include "base/log.h"

#include <utility>

namespace twofold::participant::postgres {

void Pruner::note_marks(const protocol::Incarnation& incarnation,
                        protocol::IdPosition low_water,
                        protocol::IdPosition horizon) {
    marks_[incarnation] = {low_water, horizon};
    if (std::exchange(walking_, true)) return;
    pause(false);
}

void Pruner::pause(bool is_last_page) {
    if (is_last_page) last_gid_.clear();
    timer_.start(
        is_last_page ? context_.options.limits.prune_rest : context_.options.limits.prune_pause,
        [this] { read_page(); });
}

void Pruner::read_page() {
    if (context_.fenced || context_.stopping) return;
    const Limits& limits = context_.options.limits;
    Statement statement{
        "SELECT w.gid, w.key_hash IS NULL OR "
        "w.at < pg_catalog.clock_timestamp() - $3::bigint * interval '1 millisecond' "
        "FROM twofold.witness w WHERE w.gid > $1 ORDER BY w.gid LIMIT $2::int",
        {{last_gid_, 25},
         {std::to_string(limits.prune_rows)},
         {std::to_string(limits.key_retention.count())}}};
    admin_.run({std::move(statement)},
               context_.options.limits.admin,
               [this, alive = std::weak_ptr(context_.alive)](const Reply& reply) {
                   if (alive.expired()) return;
                   if (!reply.ok()) return pause(true);  // what was not deleted stays, that is all
                   on_page(reply.results[0]);
               });
}

void Pruner::on_page(const StatementResult& page) {
    std::vector<std::string> gids;
    for (std::size_t i = 0; i < page.rows.size(); ++i) {
        last_gid_ = page.text(i, 0);
        bool is_key_free = page.text(i, 1) == "t";
        if (is_key_free && may_go(last_gid_)) gids.push_back(last_gid_);
    }
    bool is_last_page = page.rows.size() < context_.options.limits.prune_rows;
    if (gids.empty()) return pause(is_last_page);
    drop(gids, is_last_page);
}

// A row that comes back after a crash of the server is found again: nothing has to be forced.
void Pruner::drop(const std::vector<std::string>& gids, bool is_last_page) {
    std::string list;
    for (const std::string& gid : gids) list += (list.empty() ? "{" : ",") + ('"' + gid + '"');
    std::vector<Statement> statements = {
        {"BEGIN"},
        {"SET LOCAL synchronous_commit = off"},
        {"DELETE FROM twofold.witness WHERE gid = ANY ($1::text[])", {{list + "}", 25}}},
        {"COMMIT"}};
    admin_.run(std::move(statements),
               context_.options.limits.admin,
               [this, count = gids.size(), is_last_page, alive = std::weak_ptr(context_.alive)](
                   const Reply& reply) {
                   if (alive.expired()) return;
                   if (reply.ok()) context_.counters.witnesses_pruned += count;
                   pause(is_last_page);
               });
}

bool Pruner::may_go(const std::string& gid) const {
    std::optional<protocol::ParsedGid> parsed = protocol::parse_gid(gid);
    if (!parsed.has_value()) return false;
    const protocol::TxnId& group = parsed->key.group;
    auto found = marks_.find(group.incarnation());
    if (found == marks_.end()) return false;
    bool is_one_phase = group.participant().value != 0;
    return group.position() < (is_one_phase ? found->second.horizon : found->second.low_water);
}

}  // namespace twofold::participant::postgres
