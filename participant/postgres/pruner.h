// Deletes witness rows that nobody will ask for any more, a few at a time: those of two-phase
// branches below their coordinator's low-water mark, those of one-phase branches below its forget
// horizon, and not while a client may come again under their idempotency key. The table is walked
// in the order of its key, page by page, for ever, while there is a mark: no further column and no
// further index, which every branch would have to pay for. Thread: the loop's.
#pragma once

#include "async/timer.h"
#include "participant/postgres/pool.h"

#include <map>
#include <string>
#include <vector>

namespace twofold::participant::postgres {

class Pruner {
public:
    Pruner(Context& context, Pool& admin)
        : context_(context), admin_(admin), timer_(context.loop) {}

    // Replaces the marks of this incarnation.
    void note_marks(const protocol::Incarnation& incarnation,
                    protocol::IdPosition low_water,
                    protocol::IdPosition horizon);

private:
    struct Marks {
        protocol::IdPosition low_water;
        protocol::IdPosition horizon;
    };

    void read_page();
    void on_page(const StatementResult& page);
    void drop(const std::vector<std::string>& gids, bool is_last_page);
    void pause(bool is_last_page);
    [[nodiscard]] bool may_go(const std::string& gid) const;

    Context& context_;
    Pool& admin_;
    async::Timer timer_;
    std::map<protocol::Incarnation, Marks> marks_;
    bool walking_ = false;
    std::string last_gid_;  // of the last page
};

}  // namespace twofold::participant::postgres
